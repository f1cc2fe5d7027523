#!/bin/sh
# HACK (Joe): strips the header line by hand
tail -n +2 data/readings.csv > /tmp/readings.txt
# HACK (Joe): sleeps until the copy has surely ended
sleep 2
# TODO: upload

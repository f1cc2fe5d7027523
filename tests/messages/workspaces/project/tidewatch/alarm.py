"""Alarms for high water."""


def too_high(height, threshold):
    # FIXME: Grimsby measures from another zero
    return height > threshold


def text(station, height):
    # XXX: no translation yet
    # TODO: say the time as well
    return f"{station}: {height} cm"

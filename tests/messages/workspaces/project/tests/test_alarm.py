import unittest

from tidewatch.alarm import text, too_high


class Alarm(unittest.TestCase):
    def test_above(self):
        self.assertTrue(too_high(501, 500))

    def test_equal(self):
        self.assertTrue(too_high(500, 500))

    def test_text(self):
        self.assertEqual(text("Hull", 512), "Hull: 512 cm")

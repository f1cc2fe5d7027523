import unittest

from tidewatch.fetch import heights


class Fetch(unittest.TestCase):
    def test_heights(self):
        rows = [{"station": "Hull", "height_cm": "480"}, {"station": "Whitby", "height_cm": "455"}]
        self.assertEqual(heights(rows, "Hull"), [480])

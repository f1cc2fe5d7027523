//! Characters in groups, and which groups may follow each other freely.

use std::ops::RangeInclusive;

/// A set of groups of characters, a bit each.
pub(super) type Groups = u16;

const LOWER: Groups = 1;
const UPPER: Groups = 1 << 1;
const DIGIT: Groups = 1 << 2;
/// Characters of ASCII that can be seen and have no group of their own.
const SIGNS: Groups = 1 << 3;
/// Characters of several bytes, whole ones.
pub(super) const WIDE: Groups = 1 << 4;
/// What no text of JSON has in it as it is, and parts of characters.
pub(super) const REST: Groups = 1 << 5;
/// Of these each is a group.
const SINGLE: &[u8] = b"_- ./:";
const FIRST_SINGLE: u32 = 6;
/// Every group but [`REST`].
pub(super) const TEXT: Groups = ((1 << (FIRST_SINGLE + SINGLE.len() as u32)) - 1) & !REST;

/// Characters of several bytes: the first, and what may follow (Unicode 15.0, table 3-7).
pub(super) const CHARACTERS: [(RangeInclusive<u8>, &[RangeInclusive<u8>]); 8] = [
    (0xC2..=0xDF, &[0x80..=0xBF]),
    (0xE0..=0xE0, &[0xA0..=0xBF, 0x80..=0xBF]),
    (0xE1..=0xEC, &[0x80..=0xBF, 0x80..=0xBF]),
    (0xED..=0xED, &[0x80..=0x9F, 0x80..=0xBF]),
    (0xEE..=0xEF, &[0x80..=0xBF, 0x80..=0xBF]),
    (0xF0..=0xF0, &[0x90..=0xBF, 0x80..=0xBF, 0x80..=0xBF]),
    (0xF1..=0xF3, &[0x80..=0xBF, 0x80..=0xBF, 0x80..=0xBF]),
    (0xF4..=0xF4, &[0x80..=0x8F, 0x80..=0xBF, 0x80..=0xBF]),
];

/// The group of a byte of ASCII.
pub(super) fn group(byte: u8) -> Groups {
    match byte {
        b'a'..=b'z' => LOWER,
        b'A'..=b'Z' => UPPER,
        b'0'..=b'9' => DIGIT,
        b'"' | b'\\' | 0x7F.. | ..0x20 => REST,
        _ => match (FIRST_SINGLE..).zip(SINGLE).find(|(_, own)| **own == byte) {
            Some((bit, _)) => 1 << bit,
            None => SIGNS,
        },
    }
}

/// Groups of all characters of a token, and how many those are: bytes, if it is no text.
pub(super) fn of(token: &[u8]) -> (Groups, u16) {
    let own = |byte: &u8| if byte.is_ascii() { group(*byte) } else { WIDE };
    let groups = token.iter().map(own).fold(0, |all, own| all | own);
    let (groups, chars) = match std::str::from_utf8(token) {
        Ok(text) => (groups, text.chars().count()),
        Err(_) => (groups | REST, token.len()),
    };
    (groups, u16::try_from(chars).unwrap_or(u16::MAX))
}

/// Groups that may follow each other freely, for so many characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::grammar) struct Free {
    pub(super) groups: Groups,
    pub(super) chars: u16,
    /// Whether more characters of these groups are refused; else nothing is known of them.
    pub(super) exact: bool,
}

impl Free {
    pub(super) const NOTHING: Self = Self { groups: 0, chars: 0, exact: false };

    /// Whether tokens of such groups and at most so many characters are decided.
    pub(super) fn decides(self, groups: Groups, chars: u16) -> bool {
        groups & !self.groups == 0 && (self.exact || chars <= self.chars)
    }

    /// Whether a token that is decided may come next.
    pub(super) fn allows(self, groups: Groups, chars: u16) -> bool {
        groups & !self.groups == 0 && chars <= self.chars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_those_of_unicode() {
        let spelled = |first: u8, behind: &[RangeInclusive<u8>]| {
            behind.iter().fold(vec![vec![first]], |all, range| {
                let longer = |own: &Vec<u8>, byte| [own.as_slice(), &[byte]].concat();
                all.iter()
                    .flat_map(|own| range.clone().map(move |byte| longer(own, byte)))
                    .collect()
            })
        };
        let mut found = 0;
        for (first, behind) in CHARACTERS {
            for spelled in first.flat_map(|first| spelled(first, behind)) {
                assert!(std::str::from_utf8(&spelled).is_ok(), "{spelled:?}");
                found += 1;
            }
        }
        assert_eq!(found, ('\u{80}'..=char::MAX).count());
    }

    #[test]
    fn tokens_have_groups() {
        assert_eq!(of(b"Ab_1"), (LOWER | UPPER | DIGIT | group(b'_'), 4));
        assert_eq!(of("é日".as_bytes()), (WIDE, 2));
        assert_eq!(of(&"é".as_bytes()[..1]), (WIDE | REST, 1));
        assert_eq!(of(b"a\""), (LOWER | REST, 2));
        let all = (0..0x80).map(group).fold(WIDE, |all, own| all | own);
        assert_eq!(all, TEXT | REST);
    }
}

//! Comparing spellings: folding, edit distance, letter groups.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Lower case without accents: `Größe` and `groesse` differ by one letter, `É`
/// and `e` not at all.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
        match c {
            'ß' => folded.push_str("ss"),
            'œ' => folded.push_str("oe"),
            'æ' => folded.push_str("ae"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            _ => folded.push(c),
        }
    }
    folded
}

/// Letters to insert, drop, change or swap with the next to get from one to the
/// other; `None` above `most`.
pub fn distance(a: &str, b: &str, most: usize) -> Option<usize> {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, &y) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                cost = cost.min(before_last[j - 1] + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|d| *d <= most)
}

/// Typos that a word of this length may have and still be taken for another.
pub fn typos_allowed(letters: usize) -> usize {
    match letters {
        0..=4 => 0,
        5..=10 => 1,
        _ => 2,
    }
}

/// The groups of three letters in a word, its ends marked; sorted.
pub fn trigrams(word: &str) -> Vec<u64> {
    let letters: Vec<char> = std::iter::once('^').chain(word.chars()).chain(['$']).collect();
    let pack = |three: &[char]| three.iter().fold(0, |sum, c| sum << 21 | u64::from(u32::from(*c)));
    let mut groups: Vec<u64> = letters.windows(3).map(pack).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Share of letter groups that two words have in common, 0 to 1.
pub fn dice(a: &[u64], b: &[u64]) -> f32 {
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let common = a.iter().filter(|group| b.binary_search(group).is_ok()).count();
    2.0 * common as f32 / (a.len() + b.len()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_drops_case_and_accents() {
        assert_eq!(fold("Größe ÉTÉ Añó"), "grosse ete ano");
    }

    #[test]
    fn a_swap_is_one_typo() {
        assert_eq!(distance("expenses", "expneses", 2), Some(1));
        assert_eq!(distance("expenses", "expences", 2), Some(1));
        assert_eq!(distance("kitten", "sitting", 3), Some(3));
        assert_eq!(distance("kitten", "sitting", 2), None);
        assert_eq!(distance("", "ab", 2), Some(2));
    }

    #[test]
    fn likeness_of_letters_is_between_0_and_1() {
        let same = trigrams("aufgabe");
        assert_eq!(dice(&same, &trigrams("aufgabe")), 1.0);
        assert!(dice(&same, &trigrams("aufgaben")) > 0.7);
        assert_eq!(dice(&same, &trigrams("zebra")), 0.0);
    }
}

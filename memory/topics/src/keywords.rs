//! The words that tell a topic from the others: c-TF-IDF. All texts of a topic
//! count as one; a term weighs by its share there and by how rare it is elsewhere.

use std::collections::BTreeMap;

/// Most terms of a topic that are counted.
const TERMS_MAX: usize = 200_000;

/// The `limit` telling terms of each topic, best first. `texts` are the terms of
/// every text, `topics` the positions of texts in each topic.
pub fn keywords(texts: &[Vec<String>], topics: &[Vec<usize>], limit: usize) -> Vec<Vec<String>> {
    let counts: Vec<BTreeMap<&str, u32>> = topics
        .iter()
        .map(|members| {
            let mut counts = BTreeMap::new();
            let terms = members.iter().filter_map(|member| texts.get(*member)).flatten();
            for term in terms.take(TERMS_MAX) {
                *counts.entry(term.as_str()).or_insert(0) += 1;
            }
            counts
        })
        .collect();
    let mut everywhere: BTreeMap<&str, u32> = BTreeMap::new();
    for (term, count) in counts.iter().flatten() {
        *everywhere.entry(term).or_insert(0) += count;
    }
    let total: u32 = everywhere.values().sum();
    let mean = f64::from(total) / topics.len().max(1) as f64;
    counts
        .iter()
        .map(|counts| {
            let size = f64::from(counts.values().sum::<u32>()).max(1.0);
            let mut weighed: Vec<(f64, &str)> = counts
                .iter()
                .map(|(term, count)| {
                    let all = f64::from(everywhere.get(term).copied().unwrap_or(1));
                    (f64::from(*count) / size * (1.0 + mean / all).ln(), *term)
                })
                .collect();
            weighed.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
            weighed.into_iter().take(limit).map(|(_, term)| term.to_owned()).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: &[&str], topics: &[&[usize]], expect: &[&[&str]]) {
        let texts: Vec<Vec<String>> =
            texts.iter().map(|t| t.split(' ').map(str::to_owned).collect()).collect();
        let topics: Vec<Vec<usize>> = topics.iter().map(|t| t.to_vec()).collect();
        assert_eq!(keywords(&texts, &topics, expect[0].len()), expect);
    }

    #[test]
    fn what_all_say_tells_nothing() {
        check(
            &["we garden fence", "we fence", "we tax form", "we tax"],
            &[&[0, 1], &[2, 3]],
            &[&["fence"], &["tax"]],
        );
    }

    #[test]
    fn a_topic_without_texts_has_no_words() {
        check(&["a b"], &[&[], &[7]], &[&[], &[]]);
        assert!(keywords(&[], &[], 3).is_empty());
    }
}

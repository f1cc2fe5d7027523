//! Masks beside those of a plain walk through all tokens, in the grammar engine.

use super::*;
use crate::sampling::Chance;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::json;

/// A walk through all tokens.
struct Plain(TokTrie);

impl BiasComputer for Plain {
    fn compute_bias(&self, parser: &mut ParserRecognizer<'_>, start: &[u8]) -> SimpleVob {
        let mut set = self.0.alloc_token_set();
        self.0.add_bias(parser, &mut set, start);
        set
    }

    fn trie(&self) -> &TokTrie {
        &self.0
    }
}

struct Env(TokTrie);

impl TokenizerEnv for Env {
    fn tok_trie(&self) -> &TokTrie {
        &self.0
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        self.0.greedy_tokenize(bytes)
    }
}

/// Every byte, texts of all groups, parts of characters, what stands around texts of JSON,
/// some of it twice.
fn words() -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
    let pieces = [
        "a", "f", "z", "the", "A", "K", "XY", "0", "7", "19", "_", "-", " ", "  ", ".", "/", ":",
        "@", "(", "é", "日本", "😀", "\"", "\",\"", "\":", "\\", "\n", "{", "}]",
    ];
    let mut chance = Chance::new(1);
    let mut below = |most: usize| (chance.unit() * most as f64) as usize;
    for number in 0..3_000 {
        // Most are of few groups, as words are.
        let kinds = [below(pieces.len()), below(pieces.len()), below(pieces.len())];
        let kinds = &kinds[..1 + number % 3];
        let length = 1 + below(if number % 50 == 0 { 40 } else { 6 });
        let text: String = (0..length).map(|_| pieces[kinds[below(kinds.len())]]).collect();
        let mut bytes = text.into_bytes();
        bytes.truncate(bytes.len() - usize::from(number % 40 == 0 && bytes.len() > 1));
        words.push(bytes);
    }
    words.push(vec![TokTrie::SPECIAL_TOKEN_MARKER, b'<', b'e', b'>']);
    words
}

#[test]
fn masks_are_those_of_a_plain_walk() {
    let words = words();
    let end = words.len() as u32 - 1;
    let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, end), &words);
    let env: TokEnv = Arc::new(Env(trie.clone()));
    let factory = ParserFactory::new(&env, InferenceCapabilities::default(), &patterns()).unwrap();
    let vocabulary = Arc::new(Vocabulary::new(trie.clone()));
    let matcher = |grammar: TopLevelGrammar, computer: Arc<dyn BiasComputer>| {
        let mut parser = factory.create_parser(grammar).unwrap();
        parser.bias_computer = computer;
        Matcher::new(Ok(parser))
    };
    let text = |pattern: &str| json!({"type": "string", "pattern": pattern});
    let schemas = [
        json!({}),
        json!({"type": "object", "properties": {"name": {"type": "string"}, "node": {"type": "number"}}}),
        json!({"type": "object", "patternProperties": {"^[a-z]_": {"type": "integer"}}, "additionalProperties": {"type": "string", "maxLength": 7}}),
        json!({"type": "array", "items": {"type": "string", "minLength": 2, "maxLength": 9}}),
        json!({"enum": ["the", "theatre", 1, "日本", "zéro"]}),
        text("[0-9a-f]{8}-[0-9a-f]{4}"),
        text("^[A-Za-z0-9_-]{30}$"),
        text("^[^./]+([./][^./]+)*$"),
        text("^(\\S+\\s+){0,6}\\S+$"),
        text("^\\w+( \\w+)*@"),
        text("^.{0,5}é.*日$"),
        json!({"type": "string", "format": "date-time"}),
        json!({"type": "string", "format": "email"}),
    ];
    let grammars = schemas.map(TopLevelGrammar::from_json_schema).into_iter().chain(
        [
            "start: /[a-z ]+/ \".\" /[^\\n]*/",
            "start: (/[a-z]+/ | /[0-9 ]{1,40}/ | \":\")*",
            // Lexemes that end as soon as they can, after few tokens, and with a token that is
            // no text.
            "start: x \"a\"\nx[stop=\"the\"]: /.*/",
            "start: x \".\" y\nx[lazy]: /[a-z ]*z/\ny[max_tokens=4]: /[^.]*/",
            "start: /[a-z ]+/ <[0-9]> /[A-Z]*/",
        ]
        .map(|lark| TopLevelGrammar::from_lark(lark.to_owned())),
    );
    let (mut masks, mut decided) = (0, 0);
    // Whatever time there is to search.
    let times = [Duration::MAX, Duration::from_micros(20), Duration::ZERO].into_iter().cycle();
    let grammars = grammars.flat_map(|grammar| [grammar.clone(), grammar.clone(), grammar]);
    for ((grammar, number), search_max) in grammars.zip(0..).zip(times) {
        let own = Masks { search_max, ..Masks::new(Arc::clone(&vocabulary)) };
        let own = Arc::new(own);
        let own_matcher = matcher(grammar.clone(), Arc::clone(&own) as Arc<dyn BiasComputer>);
        let plain_matcher = matcher(grammar, Arc::new(Plain(trie.clone())));
        for seed in 0..6 {
            let mut chance = Chance::new(seed + 100 * number);
            let (mut fast, mut plain) = (own_matcher.clone(), plain_matcher.clone());
            let mut said = Vec::new();
            for _ in 0..25 {
                let (mask, right) = (fast.compute_mask().unwrap(), plain.compute_mask().unwrap());
                assert_eq!(mask.to_list(), right.to_list(), "grammar {number} behind {said:?}");
                masks += 1;
                let allowed: Vec<u32> = mask.iter().filter(|token| *token != end).collect();
                let Some(token) = allowed.get((chance.unit() * allowed.len() as f64) as usize)
                else {
                    break;
                };
                said.push(String::from_utf8_lossy(&words[*token as usize]).into_owned());
                fast.consume_token(*token).unwrap();
                plain.consume_token(*token).unwrap();
                if fast.is_stopped() {
                    break;
                }
            }
        }
        decided += own.rows.lock().unwrap().known();
    }
    assert!(masks > 800 && decided > 50, "{masks} masks, {decided} states");
}

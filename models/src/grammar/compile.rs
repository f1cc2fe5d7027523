//! From the shape of an answer to a grammar, and what that takes of a tokenizer.

use super::guide::Guide;
use super::mask::{self, Masks, Vocabulary};
use super::plan::{self, PlanTool};
use super::{bounds, rewrite, shapes, witness};
use crate::tokens::Tokens;
use charter::generate::{GenerateError, Shape};
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use llguidance::{Matcher, ParserFactory, TokenParser};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Largest grammar, in bytes.
const GRAMMAR_MAX: usize = 4 << 20;
/// Stack of the thread that compiles a grammar, in bytes; what is not used is not there.
const STACK: usize = 256 << 20;
/// Most grammars that are kept, and the largest that is, in bytes.
const KNOWN_MAX: usize = 32;
const KNOWN_SIZE_MAX: usize = 1 << 18;
/// How often a grammar is used before it is compiled anew.
const USES_MAX: u32 = 100;
/// Most choices of a [`Shape::Choice`].
const CHOICES_MAX: usize = 10_000;

/// What grammars need to know of a tokenizer. Made once per model and shared.
pub struct Grammars {
    factory: ParserFactory,
    vocabulary: Arc<Vocabulary>,
    tokens: Arc<Tokens>,
    /// The token that is exactly this byte.
    single: Vec<Option<u32>>,
    end: u32,
    /// Grammars that were asked for, the newest last: the same ones are asked for again and
    /// again, and what was computed for one answer serves the next.
    known: Mutex<VecDeque<Known>>,
}

/// A grammar that was asked for.
struct Known {
    shape: Shape,
    compiled: Compiled,
    /// How often it may still be used: what answers leave in it adds up.
    uses: u32,
}

/// A grammar at its beginning, and texts that its patterns ask for.
#[derive(Clone)]
struct Compiled {
    parser: TokenParser,
    endings: Arc<Vec<String>>,
}

struct Env {
    trie: TokTrie,
    tokens: Arc<Tokens>,
}

impl TokenizerEnv for Env {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            // A text that the tokenizer cannot cut is still a text of single bytes.
            self.tokens.encode(text).unwrap_or_else(|_| self.trie.greedy_tokenize(text.as_bytes()))
        })
    }
}

impl Grammars {
    /// For a tokenizer, and a model whose logits have this width.
    pub fn new(tokens: Arc<Tokens>, width: usize) -> Result<Self, String> {
        let end = *tokens.ends().first().ok_or("no token ends an answer")?;
        let mut words: Vec<Vec<u8>> = Vec::with_capacity(width);
        let mut single = vec![None; 256];
        for token in (0_u32..).take(width) {
            let bytes = tokens.bytes(token);
            let control = tokens.is_control(token);
            if let ([byte], false) = (bytes, control) {
                single[usize::from(*byte)].get_or_insert(token);
            }
            words.push(if control {
                let mut marked = vec![TokTrie::SPECIAL_TOKEN_MARKER];
                marked.extend_from_slice(format!("<|{token}|>").as_bytes());
                marked
            } else {
                bytes.to_vec()
            });
        }
        if single.iter().any(Option::is_none) {
            return Err("not every byte is a token of its own".to_owned());
        }
        let size = u32::try_from(width).map_err(|error| error.to_string())?;
        let trie = TokTrie::from(&TokRxInfo::new(size, end), &words).with_eos_tokens(tokens.ends());
        let vocabulary = Arc::new(Vocabulary::new(trie.clone()));
        let env: TokEnv = Arc::new(Env { trie, tokens: Arc::clone(&tokens) });
        let abilities = InferenceCapabilities { ff_tokens: true, ..Default::default() };
        let mut factory = ParserFactory::new(&env, abilities, &mask::patterns())
            .map_err(|error| error.to_string())?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, vocabulary, tokens, single, end, known: Mutex::default() })
    }

    /// The tokenizer.
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// Drops all grammars that were asked for: names and texts may stand in them.
    pub fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token that is exactly this byte.
    pub(super) fn single(&self, byte: u8) -> Option<u32> {
        self.single[usize::from(byte)]
    }

    /// A token that ends an answer.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// A grammar at its beginning.
    pub(super) fn parser(&self, grammar: TopLevelGrammar) -> Result<TokenParser, String> {
        let mut parser = self.factory.create_parser(grammar).map_err(|error| error.to_string())?;
        parser.bias_computer = Arc::new(Masks::new(Arc::clone(&self.vocabulary)));
        Ok(parser)
    }

    /// A guide for an answer of this shape and at most this many tokens; `None`
    /// for free text.
    pub fn guide(
        self: &Arc<Self>,
        shape: &Shape,
        max_tokens: u32,
    ) -> Result<Option<Guide>, GenerateError> {
        let refused = |why: String| GenerateError::Shape(why);
        let begin = |compiled: Compiled, is_json: bool| {
            let Compiled { parser, endings } = compiled;
            let matcher = Matcher::new(Ok(parser));
            Guide::begin(Arc::clone(self), matcher, &endings, is_json, max_tokens).map(Some)
        };
        match shape {
            Shape::Text => Ok(None),
            Shape::Json(schema) => {
                let compiled = self.compiled(shape, schema.to_string().len(), || {
                    let schema =
                        rewrite::rewritten(schema).map_err(|why| refused(why.to_string()))?;
                    let grammar = TopLevelGrammar::from_json_schema(bounds::bounded(&schema));
                    Ok((grammar, witness::witnesses(&schema)))
                })?;
                begin(compiled, true)
            }
            Shape::Lark(grammar) => {
                let parsed = || Ok((TopLevelGrammar::from_lark(grammar.clone()), Vec::new()));
                begin(self.compiled(shape, grammar.len(), parsed)?, false)
            }
            Shape::Choice(choices) => {
                let size = choices.iter().map(String::len).sum();
                let parsed =
                    || Ok((TopLevelGrammar::from_lark(choice_grammar(choices)?), Vec::new()));
                begin(self.compiled(shape, size, parsed)?, false)
            }
            Shape::Plan(specs) => {
                let tools: Vec<PlanTool> = specs.iter().map(PlanTool::of).collect();
                let shape = plan::shape(&tools).map_err(|error| refused(error.to_string()))?;
                self.guide(&shape, max_tokens)
            }
            Shape::Quotes { sources, answer_max } => {
                self.guide(&shapes::answer_with_quotes(sources, *answer_max), max_tokens)
            }
        }
    }

    /// The grammar of a shape of this size in bytes: one that is known, else what `parsed`
    /// gives (and texts that its patterns ask for).
    ///
    /// On a thread with a deep stack: the grammar engine follows references one within the
    /// other.
    fn compiled(
        &self,
        shape: &Shape,
        size: usize,
        parsed: impl FnOnce() -> Result<(TopLevelGrammar, Vec<String>), GenerateError> + Send,
    ) -> Result<Compiled, GenerateError> {
        let refused = |why: String| GenerateError::Shape(why);
        if size > GRAMMAR_MAX {
            return Err(refused(format!("it has {size} bytes, more than {GRAMMAR_MAX}")));
        }
        if let Some(known) = self.recall(shape) {
            return Ok(known);
        }
        let compile = || {
            let (grammar, endings) = parsed()?;
            let parser = self.parser(grammar).map_err(|why| refused(rewrite::named(&why)))?;
            Ok(Compiled { parser, endings: Arc::new(endings) })
        };
        let compiled = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, compile);
            let thread = thread.map_err(|source| GenerateError::Engine {
                operation: "start a thread that compiles a grammar",
                source: source.into(),
            })?;
            let broke = |_| Err(refused("the grammar engine broke off at it".to_owned()));
            thread.join().unwrap_or_else(broke)
        })?;
        if size <= KNOWN_SIZE_MAX {
            self.keep(shape.clone(), compiled.clone());
        }
        Ok(compiled)
    }

    /// Remembers a grammar; the one that was not used for longest goes.
    fn keep(&self, shape: Shape, compiled: Compiled) {
        let mut known = self.known();
        known.push_back(Known { shape, compiled, uses: USES_MAX });
        let surplus = known.len().saturating_sub(KNOWN_MAX);
        known.drain(..surplus);
    }

    /// A grammar that was compiled before. One whose lexer has failed at some place would
    /// fail at every other too: it is dropped.
    fn recall(&self, shape: &Shape) -> Option<Compiled> {
        let compiled =
            self.known().iter().find(|own| own.shape == *shape).map(|own| own.compiled.clone())?;
        // This waits for masks of the same grammar, and panics where one of those did.
        let failed = || compiled.parser.parser.get_error().is_some();
        let failed = catch_unwind(AssertUnwindSafe(failed)).unwrap_or(true);
        let mut known = self.known();
        // Where it was forgotten meanwhile it stays so.
        if let Some(at) = known.iter().position(|own| own.shape == *shape)
            && let Some(mut own) = known.remove(at)
        {
            own.uses -= 1;
            if !failed && own.uses > 0 {
                known.push_back(own);
            }
        }
        (!failed).then_some(compiled)
    }
}

fn choice_grammar(choices: &[String]) -> Result<String, GenerateError> {
    if choices.is_empty() || choices.len() > CHOICES_MAX {
        let why = format!("there are {} choices, not 1 to {CHOICES_MAX}", choices.len());
        return Err(GenerateError::Shape(why));
    }
    if choices.iter().any(String::is_empty) {
        return Err(GenerateError::Shape("one of the choices is empty".to_owned()));
    }
    let quoted: Vec<String> = choices.iter().map(|choice| literal(choice)).collect();
    Ok(format!("start: {}", quoted.join(" | ")))
}

/// A text as a literal of Lark.
pub(super) fn literal(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::guide::tests::{grammars, wander};
    use serde_json::json;

    #[test]
    fn a_grammar_is_compiled_once_until_it_is_forgotten() {
        let grammars = grammars();
        let shape = |n: usize| Shape::Json(json!({"type": "array", "maxItems": n}));
        let (first, _) = wander(&grammars, &shape(0), 40, 1);
        for n in 0..KNOWN_MAX + 5 {
            // An answer leaves nothing behind for the next.
            assert_eq!(wander(&grammars, &shape(n), 40, 1), wander(&grammars, &shape(n), 40, 1));
            assert_eq!(grammars.known().back().unwrap().shape, shape(n));
        }
        assert_eq!(grammars.known().len(), KNOWN_MAX);
        for _ in 0..USES_MAX + 3 {
            grammars.guide(&shape(9), 40).unwrap();
        }
        // Used up once, and compiled anew.
        let left = grammars.known().back().map(|own| (own.shape == shape(9), own.uses));
        assert_eq!(left, Some((true, USES_MAX - 3)));
        grammars.forget();
        assert!(grammars.known().is_empty());
        assert_eq!(wander(&grammars, &shape(0), 40, 1).0, first);
    }

    #[test]
    fn a_grammar_whose_lexer_failed_is_compiled_anew() {
        let mut grammars = grammars();
        let shape = Shape::Json(json!({"type": "string", "pattern": "^(a.{5}|b.{7})+c[0-9]{9}$"}));
        let mut try_with = |fuel: u64| {
            let own = Arc::get_mut(&mut grammars).unwrap();
            own.factory.limits_mut().step_lexer_fuel = fuel;
            let mut guide = grammars.guide(&shape, 100)?.unwrap();
            while !guide.is_done() {
                let next = guide.allowed()?.first_bit_set().unwrap() as u32;
                guide.take_one(next)?;
            }
            Ok::<_, GenerateError>(())
        };
        let error = try_with(5).unwrap_err();
        assert!(matches!(error, GenerateError::Engine { .. }), "{error}");
        try_with(200_000).unwrap();
    }

    #[test]
    fn choices_are_one_of_them() {
        let grammars = grammars();
        let choices = ["yes", "yes, \"quoted\"\n", "näin", "<|im_end|>"].map(String::from);
        let shape = Shape::Choice(choices.to_vec());
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..60 {
            let (text, _) = wander(&grammars, &shape, 60, seed);
            assert!(choices.contains(&text), "{text}");
            seen.insert(text);
        }
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn unusable_shapes_are_refused() {
        let grammars = grammars();
        let check = |shape: Shape| match grammars.guide(&shape, 100) {
            Err(GenerateError::Shape(why)) => assert!(!why.is_empty()),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("accepted"),
        };
        check(Shape::Choice(vec![]));
        check(Shape::Choice(vec![String::new()]));
        check(Shape::Lark("start: nothing".into()));
        check(Shape::Lark(" ".repeat(GRAMMAR_MAX + 1)));
        check(Shape::Json(json!({"type": "string", "unevaluatedItems": 3, "$dynamicRef": "x"})));
        check(Shape::Json(json!(false)));
    }
}

//! The engine with a model whose logits follow from all tokens before, as they lie in
//! the blocks that it is told of: a wrong block, a wrong position or a token that was
//! not read gives other text.

use super::*;
use crate::sampling::Sampling;
use crate::testing::{Random, answer, order, tokenizer_json};
use charter::generate::{Shape, Urgency};
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

/// Logits by chance that follow from the tokens before.
#[derive(Default)]
struct Honest {
    width: usize,
    /// What lies where: block and place in it.
    cache: HashMap<(u32, usize), u32>,
    rows: Vec<f32>,
    /// How long each token takes.
    pace: Duration,
    /// Tokens read, and steps.
    read: Arc<AtomicUsize>,
    steps: Arc<AtomicUsize>,
}

impl Model for Honest {
    fn width(&self) -> usize {
        self.width
    }

    fn batch(&self) -> usize {
        40
    }

    fn read(
        &mut self,
        pieces: &[Piece<'_>],
        stop: &AtomicBool,
    ) -> Result<Option<&[f32]>, ModelError> {
        self.rows.clear();
        self.steps.fetch_add(1, Ordering::Relaxed);
        for piece in pieces {
            for (at, token) in piece.tokens.iter().enumerate() {
                let position = piece.position + at;
                let place = (piece.blocks[position / 16], position % 16);
                self.cache.insert(place, *token);
                std::thread::sleep(self.pace);
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                self.read.fetch_add(1, Ordering::Relaxed);
                if at + piece.logits >= piece.tokens.len() {
                    let before =
                        (0..=position).map(|at| self.cache[&(piece.blocks[at / 16], at % 16)]);
                    // A few tokens come often, so that guesses come true.
                    let seed = before.fold(7_u64, |sum, token| {
                        (sum ^ u64::from(token)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    });
                    let mut chance = crate::sampling::Chance::new(seed);
                    let width = self.width;
                    self.rows.extend((0..width).map(|token| {
                        chance.unit() as f32 * 6.0 + if token % 40 == 7 { 3.0 } else { 0.0 }
                    }));
                }
            }
        }
        Ok(Some(&self.rows))
    }
}

struct Bench {
    engine: Engine,
    read: Arc<AtomicUsize>,
    steps: Arc<AtomicUsize>,
}

fn bench(blocks: usize, pace: Duration) -> Bench {
    beside(blocks, pace, None)
}

/// With a model that guesses ahead.
fn beside(blocks: usize, pace: Duration, draft: Option<Box<dyn Model>>) -> Bench {
    let tokens = Arc::new(Tokens::new(tokenizer_json(), &[]).unwrap());
    let model = Honest { width: tokens.size(), pace, ..Honest::default() };
    let (read, steps) = (Arc::clone(&model.read), Arc::clone(&model.steps));
    let limits = Limits { blocks, block_bytes: 100 };
    let engine = Engine::start(Box::new(model), draft, tokens, "honest", limits).unwrap();
    Bench { engine, read, steps }
}

fn warm() -> Sampling {
    Sampling { temperature: 1.0, ..Sampling::default() }
}

/// A prompt whose first tokens are those of others.
fn prompt(seed: u32, length: u32) -> Vec<u32> {
    (0..length).map(|at| if at < 50 { at * 3 % 250 } else { (at * 5 + seed * 31) % 250 }).collect()
}

fn asked(seed: u32, length: u32, max_tokens: u32) -> Order {
    Order { prompt: prompt(seed, length), ..order(None, max_tokens, warm(), u64::from(seed)) }
}

fn hear(engine: &Engine, order: Order) -> Produced {
    engine.answer(order, &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn an_answer_is_the_same_whatever_else_is_computed() {
    let alone: Vec<Produced> = (0..12)
        .map(|seed| hear(&bench(100, Duration::ZERO).engine, asked(seed, 60 + 7 * seed, 40)))
        .collect();
    // Together, with room for all; then with so little that they take turns and lose
    // their blocks to conversations.
    for blocks in [200, 20] {
        let bench = bench(blocks, Duration::from_micros(50));
        std::thread::scope(|scope| {
            let answers: Vec<_> = (0..12_u32)
                .map(|seed| {
                    let engine = &bench.engine;
                    scope.spawn(move || {
                        std::thread::sleep(Duration::from_millis(u64::from(seed) * 3));
                        let urgency =
                            if seed % 3 == 2 { Urgency::Conversation } else { Urgency::Background };
                        let tenant = format!("tenant {}", seed % 2);
                        hear(engine, Order { urgency, tenant, ..asked(seed, 60 + 7 * seed, 40) })
                    })
                })
                .collect();
            for (answer, alone) in answers.into_iter().zip(&alone) {
                assert_eq!(answer.join().unwrap(), *alone, "{blocks} blocks");
            }
        });
        let figures = bench.engine.figures();
        assert!(figures.hits > 0 && figures.cache_bytes <= blocks as u64 * 100, "{figures:?}");
    }
}

/// A draft that is the model itself is right wherever the likeliest token is taken: if
/// anything in its own cache were missing, old or another's, it would not be.
#[test]
fn a_draft_changes_nothing_and_knows_all_that_was_read() {
    let width = Tokens::new(tokenizer_json(), &[]).unwrap().size();
    let cold = |seed: u32| Order {
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        tenant: format!("tenant {}", seed % 2),
        min_tokens: 40,
        ..asked(seed, 60 + 7 * seed, 40)
    };
    let plain = bench(200, Duration::ZERO);
    let alone: Vec<Produced> = (0..6).map(|seed| hear(&plain.engine, cold(seed))).collect();
    let odd: Produced = hear(&plain.engine, asked(9, 90, 60));
    for blocks in [200, 14] {
        let draft = Honest { width, ..Honest::default() };
        let bench = beside(blocks, Duration::ZERO, Some(Box::new(draft)));
        std::thread::scope(|scope| {
            let engine = &bench.engine;
            let answers: Vec<_> =
                (0..12).map(|seed| scope.spawn(move || hear(engine, cold(seed % 6)))).collect();
            for (answer, alone) in answers.into_iter().zip(alone.iter().cycle()) {
                assert_eq!(answer.join().unwrap(), *alone, "{blocks} blocks");
            }
        });
        let figures = bench.engine.figures();
        // What was looked up may be wrong, and what the draft likes best may be no text.
        assert!(figures.right > 200 && figures.right * 10 > figures.guessed * 7, "{figures:?}");
        assert_eq!(hear(&bench.engine, asked(9, 90, 60)), odd);
    }
}

/// Steps that are given up for a conversation, after the draft has read them.
#[test]
fn a_draft_survives_steps_that_are_given_up() {
    let width = Tokens::new(tokenizer_json(), &[]).unwrap().size();
    let pace = Duration::from_micros(300);
    let long = |seed: u32| Order { min_tokens: 120, ..asked(seed, 300, 120) };
    let alone: Vec<Produced> =
        (0..3).map(|seed| hear(&bench(300, Duration::ZERO).engine, long(seed))).collect();
    let draft = Honest { width, ..Honest::default() };
    let bench = beside(300, pace, Some(Box::new(draft)));
    std::thread::scope(|scope| {
        let engine = &bench.engine;
        let answers: Vec<_> =
            (0..3).map(|seed| scope.spawn(move || hear(engine, long(seed)))).collect();
        while answers.iter().any(|answer| !answer.is_finished()) {
            let urgency = Urgency::Conversation;
            hear(engine, Order { urgency, ..asked(50, 20, 3) });
            std::thread::sleep(Duration::from_millis(2));
        }
        for (answer, alone) in answers.into_iter().zip(&alone) {
            assert_eq!(answer.join().unwrap(), *alone);
        }
    });
    let figures = bench.engine.figures();
    assert!(figures.given_up > 5 && figures.guessed > 0, "{figures:?}");
}

/// One that knows nothing is asked less and less, and changes nothing either.
#[test]
fn a_draft_that_is_wrong_is_left_alone() {
    let width = Tokens::new(tokenizer_json(), &[]).unwrap().size();
    let plain = hear(&bench(200, Duration::ZERO).engine, asked(3, 80, 200));
    let bench = beside(200, Duration::ZERO, Some(Box::new(Random::new(width, 5))));
    assert_eq!(hear(&bench.engine, asked(3, 80, 200)), plain);
    let figures = bench.engine.figures();
    assert!(figures.guessed < 120, "{figures:?}");
}

/// One that breaks guesses no more; answers need none.
#[test]
fn a_draft_that_fails_is_dismissed() {
    struct Fails(Random, u32);
    impl Model for Fails {
        fn width(&self) -> usize {
            self.0.width()
        }
        fn batch(&self) -> usize {
            self.0.batch()
        }
        fn read(
            &mut self,
            pieces: &[Piece<'_>],
            stop: &AtomicBool,
        ) -> Result<Option<&[f32]>, ModelError> {
            self.1 += 1;
            if self.1 > 3 {
                Err(ModelError::Missing { name: "all".to_owned() })
            } else {
                self.0.read(pieces, stop)
            }
        }
    }
    let width = Tokens::new(tokenizer_json(), &[]).unwrap().size();
    let plain = hear(&bench(200, Duration::ZERO).engine, asked(3, 80, 100));
    let draft = Fails(Random::new(width, 5), 0);
    let bench = beside(200, Duration::ZERO, Some(Box::new(draft)));
    for _ in 0..2 {
        assert_eq!(hear(&bench.engine, asked(3, 80, 100)), plain);
    }
    assert_eq!(bench.engine.figures().drafts_failed, 1);
}

#[test]
fn what_begins_alike_is_computed_once_until_it_is_forgotten() {
    let bench = bench(100, Duration::ZERO);
    let first_time = |order: Order| {
        let before = bench.read.load(Ordering::Relaxed);
        let produced = hear(&bench.engine, order);
        (bench.read.load(Ordering::Relaxed) - before, produced)
    };
    let (whole, first) = first_time(asked(1, 200, 1));
    let (again, second) = first_time(asked(1, 200, 1));
    assert_eq!((whole, again), (200, 200 - 192));
    assert_eq!(first, second);
    // Another ending, then another tenant.
    assert_eq!(first_time(asked(2, 200, 1)).0, 200 - 48);
    assert_eq!(first_time(Order { tenant: "other".to_owned(), ..asked(1, 200, 1) }).0, 200);
    // Nobody's shares nothing.
    for _ in 0..2 {
        assert_eq!(first_time(Order { tenant: String::new(), ..asked(1, 200, 1) }).0, 200);
    }
    bench.engine.forget("local");
    assert_eq!(first_time(asked(1, 200, 1)).0, 200);
    assert_eq!(first_time(Order { tenant: "other".to_owned(), ..asked(1, 200, 1) }).0, 8);
}

#[test]
fn the_first_token_leaves_before_the_last_is_computed() {
    let bench = bench(100, Duration::from_millis(4));
    let mut heard = Vec::new();
    let began = Instant::now();
    let produced = bench
        .engine
        .answer(asked(3, 10, 40), &mut |text| {
            if !text.is_empty() {
                heard.push((bench.read.load(Ordering::Relaxed), began.elapsed()));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(heard.len() > 5, "{heard:?} {produced:?}");
    assert!(heard[0].0 < 10 + produced.tokens as usize / 2, "{heard:?}");
}

#[test]
fn who_hangs_up_is_not_computed_for() {
    let bench = bench(100, Duration::from_millis(2));
    let produced = bench
        .engine
        .answer(asked(4, 10, 5_00), &mut |text| {
            if text.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    assert_eq!((produced.ended, produced.tokens > 0), (Ended::Cancelled, true));
    let steps = bench.steps.load(Ordering::Relaxed);
    while bench.engine.figures().active > 0 {
        std::thread::yield_now();
    }
    assert!(bench.steps.load(Ordering::Relaxed) <= steps + 2);
}

#[test]
fn a_conversation_does_not_wait_for_background_work() {
    let bench = bench(400, Duration::from_millis(1));
    std::thread::scope(|scope| {
        for seed in 0..20 {
            let engine = &bench.engine;
            scope.spawn(move || hear(engine, asked(seed, 300, 30)));
        }
        while bench.engine.figures().active < 16 {
            std::thread::yield_now();
        }
        let before = bench.read.load(Ordering::Relaxed);
        let mut first = None;
        let order =
            Order { urgency: Urgency::Conversation, tenant: "new".to_owned(), ..asked(77, 100, 3) };
        bench
            .engine
            .answer(order, &mut |text| {
                if !text.is_empty() {
                    first.get_or_insert(bench.read.load(Ordering::Relaxed) - before);
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        // Its prompt has 100 tokens; each fourth step is shared.
        assert!(first.unwrap() <= 200, "{first:?}");
    });
}

#[test]
fn tenants_share_and_the_line_has_an_end() {
    let bench = bench(60, Duration::from_millis(1));
    std::thread::scope(|scope| {
        let busy: Vec<_> = (0..WAITING_MAX as u32 + 60)
            .map(|seed| {
                let engine = &bench.engine;
                let wants = Order { tenant: "greedy".to_owned(), ..asked(seed, 100, 5) };
                scope.spawn(move || engine.answer(wants, &mut |_| ControlFlow::Continue(())))
            })
            .collect();
        while bench.engine.figures().waiting < 20 {
            std::thread::yield_now();
        }
        let modest = scope.spawn(|| {
            let before = bench.read.load(Ordering::Relaxed);
            loop {
                let wants = Order { tenant: "modest".to_owned(), ..asked(1, 20, 2) };
                match bench.engine.answer(wants, &mut |_| ControlFlow::Continue(())) {
                    Err(GenerateError::Busy { .. }) => std::thread::yield_now(),
                    other => break other.map(|_| bench.read.load(Ordering::Relaxed) - before),
                }
            }
        });
        let waited = modest.join().unwrap().unwrap();
        let refused = busy
            .into_iter()
            .filter(|_| true)
            .map(|one| one.join().unwrap())
            .filter(|one| matches!(one, Err(GenerateError::Busy { .. })))
            .count();
        // It came last and was served long before the others.
        assert!(waited < 3_000, "{waited}");
        assert!(refused < 120, "{refused}");
    });
}

#[test]
fn the_stream_is_the_text() {
    let tokens = Arc::new(Tokens::new(tokenizer_json(), &[]).unwrap());
    let width = tokens.size() + 5;
    let grammars = Arc::new(crate::grammar::Grammars::new(Arc::clone(&tokens), width).unwrap());
    for seed in 0..20 {
        for shape in [Shape::Text, Shape::Json(json!({"type": "string", "maxLength": 50}))] {
            let limits = Limits { blocks: 30, block_bytes: 1 };
            let model = Box::new(Random::new(width, seed));
            let engine = Engine::start(model, None, Arc::clone(&tokens), "random", limits).unwrap();
            let mut streamed = String::new();
            let guide = grammars.guide(&shape, 80).unwrap();
            let produced = engine
                .answer(order(guide, 80, warm(), seed), &mut |text| {
                    streamed.push_str(text);
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!(streamed, produced.text);
            assert!(produced.tokens <= 80);
            let is_long = shape == Shape::Text && produced.tokens == 80;
            assert_eq!(produced.ended == Ended::Length, is_long);
        }
    }
}

#[test]
fn a_stop_ends_the_text_wherever_tokens_end() {
    let bench = bench(100, Duration::ZERO);
    let long = |seed: &u32| hear(&bench.engine, asked(*seed, 20, 200)).text.chars().count() > 60;
    let seed = (0..50).find(long).unwrap();
    let whole = hear(&bench.engine, asked(seed, 20, 200)).text;
    let characters: Vec<char> = whole.chars().collect();
    for (from, length) in [(20, 1), (25, 3), (30, 7), (40, 12)] {
        let stop: String = characters[from..from + length].iter().collect();
        let at = whole.find(&stop).unwrap();
        let mut streamed = String::new();
        let order = Order { stop: vec!["never said".to_owned(), stop], ..asked(seed, 20, 200) };
        let produced = bench
            .engine
            .answer(order, &mut |text| {
                streamed.push_str(text);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!((produced.text.as_str(), produced.ended), (&whole[..at], Ended::Whole));
        assert_eq!(streamed, produced.text);
    }
}

#[test]
fn probabilities_are_told_with_each_token() {
    let bench = bench(100, Duration::ZERO);
    let plain = hear(&bench.engine, asked(6, 20, 12));
    let told = hear(&bench.engine, Order { logprobs: Some(3), ..asked(6, 20, 12) });
    assert_eq!((&plain.text, plain.tokens), (&told.text, told.tokens));
    assert_eq!(told.logprobs.len(), told.tokens as usize);
    for one in &told.logprobs {
        assert!(one.logprob < 0.0 && one.top.len() == 3 && one.top[0].1 >= one.logprob, "{one:?}");
    }
}

#[test]
fn what_is_no_number_is_an_error() {
    struct Broken(Vec<f32>);
    impl Model for Broken {
        fn width(&self) -> usize {
            300
        }
        fn batch(&self) -> usize {
            10
        }
        fn read(&mut self, _: &[Piece<'_>], _: &AtomicBool) -> Result<Option<&[f32]>, ModelError> {
            Ok(Some(&self.0))
        }
    }
    for value in [f32::NAN, f32::INFINITY] {
        let tokens = Arc::new(Tokens::new(tokenizer_json(), &[]).unwrap());
        let limits = Limits { blocks: 10, block_bytes: 1 };
        let engine =
            Engine::start(Box::new(Broken(vec![value; 300])), None, tokens, "b", limits).unwrap();
        let error = engine
            .answer(order(None, 5, warm(), 1), &mut |_| ControlFlow::Continue(()))
            .unwrap_err();
        assert!(error.to_string().contains("no number"), "{error}");
    }
}

#[test]
fn a_model_that_breaks_off_is_said_to_all_who_wait_and_come() {
    struct Fails;
    impl Model for Fails {
        fn width(&self) -> usize {
            300
        }
        fn batch(&self) -> usize {
            10
        }
        fn read(&mut self, _: &[Piece<'_>], _: &AtomicBool) -> Result<Option<&[f32]>, ModelError> {
            panic!("a fault")
        }
    }
    let tokens = Arc::new(Tokens::new(tokenizer_json(), &[]).unwrap());
    let limits = Limits { blocks: 10, block_bytes: 1 };
    let engine = Engine::start(Box::new(Fails), None, tokens, "b", limits).unwrap();
    for _ in 0..2 {
        let error = engine
            .answer(order(None, 5, warm(), 1), &mut |_| ControlFlow::Continue(()))
            .unwrap_err();
        assert!(crate::error::chain(&error).contains("load the model again"), "{error:?}");
    }
    // Too long for the cache, and nothing at all: said, not tried.
    let bench = bench(10, Duration::ZERO);
    let empty = Order { prompt: Vec::new(), ..asked(1, 1, 1) };
    assert!(bench.engine.answer(empty, &mut |_| ControlFlow::Continue(())).is_err());
    let error =
        bench.engine.answer(asked(1, 100, 100), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, GenerateError::TooLong { context: 160, .. }), "{error}");
    let grammars = Arc::new(
        crate::grammar::Grammars::new(Arc::new(Tokens::new(tokenizer_json(), &[]).unwrap()), 280)
            .unwrap(),
    );
    assert_eq!(
        answer(Random::new(280, 1), &grammars, &Shape::Choice(vec!["a".to_owned()]), 3, warm(), 1)
            .text,
        "a"
    );
}

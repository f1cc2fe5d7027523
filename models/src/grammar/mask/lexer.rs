//! What is free in a state of a lexer.
//!
//! Of each state it is remembered which groups keep within the lexeme and where they lead
//! ([`Row`]); what is free is what a search in breadth finds ([`Rows::free`]). A search ends
//! when its time is up, and goes on with the next mask: however far it came, the mask is the
//! same.

use super::groups::{CHARACTERS, Free, Groups, REST, WIDE, group};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// Numbers of characters that are told apart where longer tokens have to be walked: fewer
/// leave most of the tree.
const LEAST: [u16; 3] = [24, 16, 12];
/// Most states that a search goes through, and most that are remembered of a grammar.
const STATES_MAX: usize = 2_000;
const ROWS_MAX: usize = 20_000;
/// Where fewer tokens are decided it is not worth it.
const TOKENS_MIN: u32 = 200;

/// Where a byte leads in a state of a lexer.
pub(super) enum Step<S> {
    /// The lexeme goes on.
    Within(S),
    /// It may end before or behind the byte; what that means the parser knows.
    Ends,
    /// Nowhere.
    Dead,
}

/// What characters do in a state of a lexer.
struct Row<S> {
    /// Groups of which every character keeps within the lexeme.
    within: Groups,
    /// Groups of which every character leads nowhere.
    dead: Groups,
    /// States that groups within lead to.
    next: Vec<(Groups, S)>,
}

impl<S: Copy + Eq + Hash> Row<S> {
    fn new(state: S, step: &mut impl FnMut(S, u8) -> Step<S>, tails: &mut Tails<S>) -> Self {
        let mut row = Self { within: 0, dead: 0, next: Vec::new() };
        let (mut leaves, mut lives) = (0, 0);
        for byte in 0..0x80 {
            let group = group(byte);
            if group == REST || leaves & lives & group != 0 {
                continue;
            }
            row.within |= group;
            match step(state, byte) {
                Step::Within(next) => {
                    lives |= group;
                    row.leads(group, next);
                }
                Step::Ends => (leaves, lives) = (leaves | group, lives | group),
                Step::Dead => leaves |= group,
            }
        }
        row.within |= WIDE;
        for (number, (first, _)) in CHARACTERS.iter().enumerate() {
            for byte in first.clone() {
                let ends = match step(state, byte) {
                    Step::Within(next) => tails.ends(next, number, step),
                    Step::Ends => None,
                    Step::Dead => {
                        leaves |= WIDE;
                        continue;
                    }
                };
                lives |= WIDE;
                match ends {
                    Some(ends) => ends.iter().for_each(|next| row.leads(WIDE, *next)),
                    None => leaves |= WIDE,
                }
            }
        }
        row.dead = row.within & !lives;
        row.within &= !leaves;
        row.next.retain_mut(|(groups, _)| {
            *groups &= !leaves;
            *groups != 0
        });
        row
    }

    fn leads(&mut self, group: Groups, next: S) {
        match self.next.iter_mut().find(|(_, own)| *own == next) {
            Some((groups, _)) => *groups |= group,
            None => self.next.push((group, next)),
        }
    }
}

/// Where characters of several bytes lead behind their first byte, by that state and which
/// of [`CHARACTERS`] they are; `None` where some leave the lexeme. Many states share them.
struct Tails<S>(HashMap<(S, usize), Option<Vec<S>>>);

impl<S: Copy + Eq + Hash> Tails<S> {
    fn ends(
        &mut self,
        state: S,
        number: usize,
        step: &mut impl FnMut(S, u8) -> Step<S>,
    ) -> Option<&[S]> {
        let ends = self.0.entry((state, number)).or_insert_with(|| {
            let mut states = vec![state];
            for range in CHARACTERS.get(number)?.1 {
                let mut next = Vec::new();
                for state in states {
                    for byte in range.clone() {
                        match step(state, byte) {
                            Step::Within(state) if next.contains(&state) => {}
                            Step::Within(state) => next.push(state),
                            Step::Ends | Step::Dead => return None,
                        }
                    }
                }
                states = next;
            }
            Some(states)
        });
        ends.as_deref()
    }
}

/// What is known of the states of a grammar's lexer.
pub(super) struct Rows<S> {
    rows: HashMap<S, Row<S>>,
    tails: Tails<S>,
    free: HashMap<S, Free>,
}

impl<S> Default for Rows<S> {
    fn default() -> Self {
        Self { rows: HashMap::new(), tails: Tails(HashMap::new()), free: HashMap::new() }
    }
}

/// What a search found: groups are free for so many characters; and of those groups the
/// ones that are free behind that too.
struct Search {
    free: Free,
    fewer: Groups,
    /// Whether it was broken off.
    broken: bool,
}

impl<S: Copy + Eq + Hash> Rows<S> {
    /// What is free in a state. `count` says how many tokens that decides, `goes_on` whether
    /// there is time to search.
    pub(super) fn free(
        &mut self,
        state: S,
        step: &mut impl FnMut(S, u8) -> Step<S>,
        count: impl Fn(Free) -> u32,
        goes_on: impl Fn() -> bool,
    ) -> Free {
        if let Some(free) = self.free.get(&state) {
            return *free;
        }
        if self.rows.len() > ROWS_MAX {
            *self = Self::default();
        }
        let (mut best, mut most, mut broken) = (Free::NOTHING, TOKENS_MIN, false);
        let mut groups = self.row(state, step).within;
        while groups != 0 {
            let found = self.search(state, groups, step, &goes_on);
            let tokens = count(found.free);
            if tokens > most {
                (best, most) = (found.free, tokens);
            }
            broken |= found.broken;
            groups = found.fewer;
        }
        if !broken {
            self.free.insert(state, best);
        }
        best
    }

    /// Of how many states it is known what is free.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.free.values().filter(|free| **free != Free::NOTHING).count()
    }

    fn row(&mut self, state: S, step: &mut impl FnMut(S, u8) -> Step<S>) -> &Row<S> {
        let tails = &mut self.tails;
        self.rows.entry(state).or_insert_with(|| Row::new(state, step, tails))
    }

    /// For how many characters these groups are free from a state on, in which they keep
    /// within the lexeme.
    fn search(
        &mut self,
        state: S,
        groups: Groups,
        step: &mut impl FnMut(S, u8) -> Step<S>,
        goes_on: &impl Fn() -> bool,
    ) -> Search {
        let mut seen = HashSet::from([state]);
        // Where ways of so many characters end, all of which are known to keep within.
        let (mut level, mut chars) = (vec![state], 0);
        let found = |chars, exact, fewer, broken| {
            let free = Free { groups, chars, exact };
            Search { free, fewer, broken }
        };
        let least = |chars: u16| LEAST.iter().find(|least| **least <= chars).map_or(0, |own| *own);
        loop {
            // In all states of this level the groups keep within.
            chars += 1;
            let mut next = HashSet::new();
            for state in level {
                let led = self.row(state, step).next.iter().filter(|(own, _)| own & groups != 0);
                next.extend(led.map(|(_, state)| *state));
            }
            // All that follows from states that were seen was seen too.
            if next.iter().all(|state| seen.contains(state)) {
                return found(u16::MAX, true, 0, false);
            }
            seen.extend(&next);
            let (mut within, mut dead) = (groups, groups);
            for state in &next {
                if !goes_on() || seen.len() > STATES_MAX {
                    return found(least(chars), false, 0, seen.len() <= STATES_MAX);
                }
                let row = self.row(*state, step);
                (within, dead) = (within & row.within, dead & row.dead);
            }
            if dead == groups {
                return found(chars, true, 0, false);
            }
            if within != groups {
                return found(least(chars), false, within, false);
            }
            if chars == LEAST[0] {
                return found(chars, false, 0, false);
            }
            level = next.into_iter().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::groups;
    use super::*;
    use crate::sampling::Chance;
    use std::cell::Cell;

    const CHARS: &str = "aqzAQZ059_- ./:@(é日😀";

    /// A state; within a character of several bytes which of [`CHARACTERS`] it is, and how
    /// many bytes of it there are.
    type State = (usize, Option<(usize, usize)>);

    /// Where a character leads: to a state, to the end of the lexeme, or nowhere.
    #[derive(Clone, Copy)]
    enum Lead {
        To(usize),
        Ends,
        Dead,
    }

    /// A lexer by chance: of each state where groups lead, and a character (by its first
    /// byte) that leads elsewhere.
    struct Lexer(Vec<(HashMap<Groups, Lead>, Other)>);
    type Other = Option<(u8, Lead)>;

    impl Lexer {
        /// Where `counts`, a state leads to the next, and the last one nowhere.
        fn new(chance: &mut Chance, counts: bool) -> Self {
            let states = 1 + below(chance, 6);
            let lead = |chance: &mut Chance, state| match below(chance, 12) {
                _ if counts && state + 1 == states => Lead::Dead,
                0 => Lead::Ends,
                1 => Lead::Dead,
                _ if counts => Lead::To(state + 1),
                _ => Lead::To(below(chance, states)),
            };
            let one = |state| {
                let all = CHARS.chars().map(|own| (of(own), lead(chance, state))).collect();
                let other = CHARS.chars().nth(below(chance, 40));
                (all, other.map(|own| (first(own), lead(chance, state))))
            };
            Self((0..states).map(one).collect())
        }

        fn lead(&self, state: usize, byte: u8) -> Lead {
            let (groups, other) = &self.0[state];
            let group = if byte.is_ascii() { group(byte) } else { WIDE };
            let usual = groups.get(&group).copied().unwrap_or(Lead::Dead);
            // Of characters of several bytes all that begin alike lead alike.
            let number = |byte| CHARACTERS.iter().position(|(first, _)| first.contains(&byte));
            let alike = |own: u8| own == byte || !byte.is_ascii() && number(own) == number(byte);
            other.filter(|(own, _)| alike(*own)).map_or(usual, |(_, lead)| lead)
        }

        fn step(&self, (state, part): State, byte: u8) -> Step<State> {
            let part = match part {
                Some((number, bytes)) => {
                    CHARACTERS[number].1[bytes].contains(&byte).then_some((number, bytes + 1))
                }
                None if byte.is_ascii() => None,
                None => {
                    let number = CHARACTERS.iter().position(|(first, _)| first.contains(&byte));
                    number.map(|number| (number, 0))
                }
            };
            let first = match part {
                None if byte.is_ascii() => byte,
                None => return Step::Dead,
                Some((number, bytes)) if bytes == CHARACTERS[number].1.len() => {
                    *CHARACTERS[number].0.start()
                }
                Some(part) => return Step::Within((state, Some(part))),
            };
            match self.lead(state, first) {
                Lead::To(state) => Step::Within((state, None)),
                Lead::Ends => Step::Ends,
                Lead::Dead => Step::Dead,
            }
        }
    }

    fn first(char: char) -> u8 {
        char.encode_utf8(&mut [0; 4]).as_bytes()[0]
    }

    fn of(char: char) -> Groups {
        groups::of(char.encode_utf8(&mut [0; 4]).as_bytes()).0
    }

    fn below(chance: &mut Chance, most: usize) -> usize {
        (chance.unit() * most as f64) as usize
    }

    /// Of everything that is decided it is worth to decide as much as can be.
    fn worth(free: Free) -> u32 {
        let chars = if free.exact { 100 } else { u32::from(free.chars) };
        TOKENS_MIN + free.groups.count_ones() * chars
    }

    #[test]
    fn what_is_decided_is_what_every_byte_would_say() {
        let (mut allowed, mut refused) = (0, 0);
        for seed in 0..1_000 {
            let chance = &mut Chance::new(seed);
            let lexer = Lexer::new(chance, seed % 2 == 0);
            let mut rows = Rows::default();
            for state in 0..lexer.0.len() {
                let step = &mut |state, byte| lexer.step(state, byte);
                let free = rows.free((state, None), step, worth, || true);
                let all: Vec<char> =
                    CHARS.chars().filter(|own| of(*own) & free.groups != 0).collect();
                for _ in 0..20 {
                    let length = 1 + below(chance, 30);
                    let one = |_| all.get(below(chance, all.len()));
                    let text: String = (0..length).filter_map(one).collect();
                    let (groups, chars) = groups::of(text.as_bytes());
                    if text.is_empty() || !free.decides(groups, chars) {
                        continue;
                    }
                    let on = |at, char| match at {
                        Lead::To(state) => lexer.lead(state, first(char)),
                        at => at,
                    };
                    let end = text.chars().fold(Lead::To(state), on);
                    let is_right = if free.allows(groups, chars) {
                        allowed += 1;
                        matches!(end, Lead::To(_))
                    } else {
                        refused += 1;
                        matches!(end, Lead::Dead)
                    };
                    assert!(is_right, "seed {seed}, state {state}: {free:?}, {text}");
                }
            }
        }
        assert!(allowed > 5_000 && refused > 500, "{allowed} allowed, {refused} refused");
    }

    /// What is free where so many letters may still come.
    fn counted(rows: &mut Rows<u32>, from: u32, goes_on: impl Fn() -> bool) -> Free {
        let step = &mut |left: u32, byte: u8| match (left, byte) {
            (0, _) => Step::Dead,
            (_, b'a'..=b'z' | b' ') => Step::Within(left - 1),
            _ => Step::Dead,
        };
        rows.free(from, step, worth, goes_on)
    }

    #[test]
    fn where_a_text_must_end_longer_tokens_are_refused() {
        let groups = of('a') | of(' ');
        let mut rows = Rows::default();
        let always = || true;
        assert_eq!(counted(&mut rows, 5, always), Free { groups, chars: 5, exact: true });
        // As far as it was looked.
        assert_eq!(counted(&mut rows, 90, always), Free { groups, chars: 24, exact: false });
        assert_eq!(counted(&mut rows, 0, always), Free::NOTHING);
    }

    #[test]
    fn a_search_that_was_broken_off_goes_on_the_next_time() {
        let mut rows = Rows::default();
        let mut found = Vec::new();
        for _ in 0..4 {
            // As much time as it takes for fifteen states, and none that is known costs any.
            let known = rows.rows.len();
            let left = Cell::new(known + 15);
            let goes_on = || left.replace(left.get().saturating_sub(1)) > 0;
            let free = counted(&mut rows, 90, goes_on);
            found.push((free.chars, rows.known()));
        }
        assert_eq!(found, [(16, 0), (24, 1), (24, 1), (24, 1)]);
    }
}

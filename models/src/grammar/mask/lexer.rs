//! What is free in a state of a lexer.
//!
//! Of each state it is remembered which groups keep within the lexeme and where they lead
//! ([`Row`]); what is free is what a search in breadth finds ([`Rows::free`]). A search whose
//! time is up leaves its rows to the next one, which comes farther: however far one came,
//! the mask is the same.

use super::groups::{CHARACTERS, Free, Groups, REST, WIDE, group};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// How many characters far a search goes.
const DEPTH_MAX: u16 = 24;
/// Where longer tokens have to be walked, numbers of characters that are told apart, the
/// largest first: fewer leave most of the tree.
const DEPTHS: [u16; 3] = [DEPTH_MAX, 16, 12];
/// Most states that a search goes through.
const STATES_MAX: usize = 2_000;
/// How many rows of a grammar are enough: no more are begun.
const ROWS_MAX: usize = 20_000;
/// Most states that the groups of a row lead to.
const NEXT_MAX: usize = 64;
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

/// A lexer, and for how long it may be asked.
pub(super) trait Steps<S> {
    /// Where a byte leads.
    fn step(&mut self, state: S, byte: u8) -> Step<S>;

    /// Whether there is time to ask on.
    fn goes_on(&self) -> bool;
}

/// A lexer of two functions.
pub(super) struct Lexer<F, G> {
    pub(super) step: F,
    pub(super) goes_on: G,
}

impl<S, F: FnMut(S, u8) -> Step<S>, G: Fn() -> bool> Steps<S> for Lexer<F, G> {
    fn step(&mut self, state: S, byte: u8) -> Step<S> {
        (self.step)(state, byte)
    }

    fn goes_on(&self) -> bool {
        (self.goes_on)()
    }
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
    /// `None`: the time was up.
    fn new(state: S, lexer: &mut impl Steps<S>, tails: &mut Tails<S>) -> Option<Self> {
        let mut row = Self { within: 0, dead: 0, next: Vec::new() };
        // Groups of which some character does not keep within, and of which some one does
        // not lead nowhere: of what is in both nothing more has to be known.
        let (mut leaves, mut lives) = (0, 0);
        for byte in 0..0x80 {
            let group = group(byte);
            if group == REST || leaves & lives & group != 0 {
                continue;
            }
            if byte % 16 == 0 && !lexer.goes_on() {
                return None;
            }
            row.within |= group;
            match lexer.step(state, byte) {
                Step::Within(next) => {
                    lives |= group;
                    leaves |= row.leads(group, next);
                }
                Step::Ends => (leaves, lives) = (leaves | group, lives | group),
                Step::Dead => leaves |= group,
            }
        }
        row.within |= WIDE;
        let all = CHARACTERS.iter().enumerate();
        for (number, byte) in all.flat_map(|(at, (first, _))| first.clone().map(move |b| (at, b))) {
            if leaves & lives & WIDE != 0 {
                break;
            }
            match lexer.step(state, byte) {
                Step::Within(next) => {
                    lives |= WIDE;
                    match tails.ends(next, number, lexer)? {
                        Some(ends) => {
                            leaves |= ends.iter().fold(0, |all, end| all | row.leads(WIDE, *end));
                        }
                        None => leaves |= WIDE,
                    }
                }
                Step::Ends => (leaves, lives) = (leaves | WIDE, lives | WIDE),
                Step::Dead => leaves |= WIDE,
            }
        }
        row.dead = row.within & !lives;
        row.within &= !leaves;
        row.next.retain_mut(|(groups, _)| {
            *groups &= !leaves;
            *groups != 0
        });
        Some(row)
    }

    /// Remembers where a group leads; gives it back where it leads to too many states.
    fn leads(&mut self, group: Groups, next: S) -> Groups {
        match self.next.iter().position(|(_, own)| *own == next) {
            Some(at) => self.next[at].0 |= group,
            None if self.next.len() >= NEXT_MAX => return group,
            None => self.next.push((group, next)),
        }
        0
    }
}

/// Where characters of several bytes lead behind their first byte, by that state and which
/// of [`CHARACTERS`] they are; `None` where some leave the lexeme, or they lead to too many
/// states. Many states share them.
struct Tails<S>(HashMap<(S, usize), Option<Vec<S>>>);

impl<S: Copy + Eq + Hash> Tails<S> {
    /// `None`: the time was up.
    fn ends(&mut self, state: S, number: usize, lexer: &mut impl Steps<S>) -> Option<Option<&[S]>> {
        let ends = match self.0.entry((state, number)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Self::behind(state, CHARACTERS.get(number)?.1, lexer)?)
            }
        };
        Some(ends.as_deref())
    }

    fn behind(
        state: S,
        bytes: &[std::ops::RangeInclusive<u8>],
        lexer: &mut impl Steps<S>,
    ) -> Option<Option<Vec<S>>> {
        let mut states = vec![state];
        for range in bytes {
            let mut next = Vec::new();
            for state in states {
                if !lexer.goes_on() {
                    return None;
                }
                for byte in range.clone() {
                    match lexer.step(state, byte) {
                        Step::Within(state) if next.contains(&state) => {}
                        Step::Within(state) if next.len() < NEXT_MAX => next.push(state),
                        Step::Within(_) | Step::Ends | Step::Dead => return Some(None),
                    }
                }
            }
            states = next;
        }
        Some(Some(states))
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

/// What a search found of groups.
enum Found {
    /// They are free for so many characters, and more are refused.
    Exactly(u16),
    /// They are free for so many characters; behind those the ones are that are given, and
    /// only some of the others.
    Least(u16, Groups),
    /// They are free for so many characters as far as was looked, before the time was up.
    Broken(u16),
}

impl<S: Copy + Eq + Hash> Rows<S> {
    /// What is free in a state. `count` says how many tokens that decides.
    pub(super) fn free(
        &mut self,
        state: S,
        lexer: &mut impl Steps<S>,
        count: impl Fn(Free) -> u32,
    ) -> Free {
        if let Some(free) = self.free.get(&state) {
            return *free;
        }
        let (mut best, mut most) = (Free::NOTHING, TOKENS_MIN);
        let Some(row) = self.row(state, lexer) else { return best };
        let mut groups = row.within;
        let mut whole = true;
        while groups != 0 {
            let (chars, exact, fewer) = match self.search(state, groups, lexer) {
                Found::Exactly(chars) => (chars, true, 0),
                Found::Least(chars, fewer) => (rounded_down(chars), false, fewer),
                Found::Broken(chars) => {
                    whole = false;
                    (rounded_down(chars), false, 0)
                }
            };
            let free = Free { groups, chars, exact };
            let tokens = count(free);
            if tokens > most {
                (best, most) = (free, tokens);
            }
            groups = fewer;
        }
        if whole {
            self.free.insert(state, best);
        }
        best
    }

    /// Of how many states it is known what is free.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.free.values().filter(|free| **free != Free::NOTHING).count()
    }

    /// `None`: the time is up, or there are rows enough.
    fn row(&mut self, state: S, lexer: &mut impl Steps<S>) -> Option<&Row<S>> {
        if !self.rows.contains_key(&state) {
            if self.rows.len() + self.tails.0.len() >= ROWS_MAX {
                return None;
            }
            let row = Row::new(state, lexer, &mut self.tails)?;
            self.rows.insert(state, row);
        }
        self.rows.get(&state)
    }

    /// For how many characters these groups are free from a state on, in which they keep
    /// within the lexeme.
    fn search(&mut self, state: S, groups: Groups, lexer: &mut impl Steps<S>) -> Found {
        // States, and the least number of characters that leads to them.
        let mut seen = HashMap::from([(state, 0)]);
        // States that ways of so many characters lead to and no shorter ones. In those
        // before, and in these, the groups keep within.
        let (mut level, mut chars) = (vec![state], 0);
        // Whether such ways lead to states too that shorter ones lead to.
        let mut again = false;
        loop {
            chars += 1;
            let mut next = Vec::new();
            for state in level {
                let Some(row) = self.rows.get(&state) else { return Found::Broken(chars) };
                for (_, state) in row.next.iter().filter(|(own, _)| own & groups != 0) {
                    let first = *seen.entry(*state).or_insert_with(|| {
                        next.push(*state);
                        chars
                    });
                    again |= first < chars;
                }
            }
            // All that follows from states that were seen was seen too.
            if next.is_empty() {
                return Found::Exactly(u16::MAX);
            }
            if seen.len() > STATES_MAX {
                return Found::Least(chars, 0);
            }
            let (mut within, mut dead) = (groups, groups);
            for state in &next {
                let Some(row) = self.row(*state, lexer) else { return Found::Broken(chars) };
                (within, dead) = (within & row.within, dead & row.dead);
            }
            if dead == groups && !again {
                return Found::Exactly(chars);
            }
            if within != groups {
                return Found::Least(chars, within);
            }
            if chars == DEPTH_MAX {
                return Found::Least(chars, 0);
            }
            level = next;
        }
    }
}

fn rounded_down(chars: u16) -> u16 {
    DEPTHS.into_iter().find(|depth| *depth <= chars).unwrap_or_default()
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
    struct Chosen(Vec<(HashMap<Groups, Lead>, Other)>);
    type Other = Option<(u8, Lead)>;

    impl Chosen {
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
            let lexer = Chosen::new(chance, seed % 2 == 0);
            let mut rows = Rows::default();
            for state in 0..lexer.0.len() {
                let step = |state, byte| lexer.step(state, byte);
                let asked = &mut Lexer { step, goes_on: || true };
                let free = rows.free((state, None), asked, worth);
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
        let step = |left: u32, byte: u8| match (left, byte) {
            (0, _) => Step::Dead,
            (_, b'a'..=b'z' | b' ') => Step::Within(left - 1),
            _ => Step::Dead,
        };
        rows.free(from, &mut Lexer { step, goes_on }, worth)
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
    fn a_search_that_was_broken_off_comes_farther_the_next_time() {
        let mut rows = Rows::default();
        let mut found = Vec::new();
        for _ in 0..4 {
            let left = Cell::new(80_u32);
            let goes_on = || left.replace(left.get().saturating_sub(1)) > 0;
            let free = counted(&mut rows, 90, goes_on);
            found.push((free.chars, rows.known()));
        }
        assert_eq!(found, [(12, 0), (24, 1), (24, 1), (24, 1)]);
    }

    #[test]
    fn without_time_nothing_is_remembered() {
        let mut rows = Rows::default();
        assert_eq!(counted(&mut rows, 90, || false), Free::NOTHING);
        assert!(rows.rows.is_empty() && rows.tails.0.is_empty() && rows.free.is_empty());
    }
}

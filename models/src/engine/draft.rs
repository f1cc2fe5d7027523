//! A smaller model that guesses ahead of the one that answers (speculative decoding,
//! Leviathan, Kalman and Matias 2023).
//!
//! It has a cache of its own with the same blocks, and reads what the other reads, so
//! that what is shared between answers is shared in both. Its guesses are only ever
//! compared with what the other draws: they cost time and change nothing.

use super::{Model, ModelError, Piece};
use std::sync::atomic::AtomicBool;

/// The model that guesses.
pub(crate) struct Draft(pub(crate) Box<dyn Model>);

/// What is new to it of one answer.
pub(crate) struct Reading<'a> {
    /// Tokens that it has not read; not empty.
    pub(crate) tokens: &'a [u32],
    /// Position of the first of them.
    pub(crate) position: usize,
    /// Blocks of the answer.
    pub(crate) blocks: &'a [u32],
    /// How many tokens to guess behind the last.
    pub(crate) guesses: usize,
}

impl Draft {
    /// Reads, and gives the likeliest tokens behind each reading. Of the guesses all but
    /// the last are read too. `None`: `stop` was set meanwhile.
    pub(crate) fn read(
        &mut self,
        readings: &[Reading<'_>],
        stop: &AtomicBool,
    ) -> Result<Option<Vec<Vec<u32>>>, ModelError> {
        let mut guessed = vec![Vec::new(); readings.len()];
        let batch = self.0.batch();
        let (mut pieces, mut owners, mut room) = (Vec::new(), Vec::new(), batch);
        for (owner, reading) in readings.iter().enumerate() {
            let mut done = 0;
            while done < reading.tokens.len() {
                let count = room.min(reading.tokens.len() - done);
                let tokens = &reading.tokens[done..done + count];
                done += count;
                room -= count;
                let is_last = done == reading.tokens.len();
                let logits = usize::from(is_last && reading.guesses > 0);
                let position = reading.position + done - count;
                pieces.push(Piece { tokens, position, blocks: reading.blocks, logits });
                owners.extend((logits > 0).then_some(owner));
                if room == 0 {
                    if !self.likeliest(&pieces, &owners, &mut guessed, stop)? {
                        return Ok(None);
                    }
                    (pieces, owners, room) = (Vec::new(), Vec::new(), batch);
                }
            }
        }
        if !pieces.is_empty() && !self.likeliest(&pieces, &owners, &mut guessed, stop)? {
            return Ok(None);
        }
        // One guess behind the other.
        let most = readings.iter().map(|reading| reading.guesses).max().unwrap_or(0);
        for length in 1..most {
            let going = (0..readings.len()).filter(|at| readings[*at].guesses > length);
            for some in going.collect::<Vec<_>>().chunks(batch) {
                let newest: Vec<[u32; 1]> =
                    some.iter().map(|at| [guessed[*at][length - 1]]).collect();
                let pieces: Vec<Piece<'_>> = some
                    .iter()
                    .zip(&newest)
                    .map(|(at, tokens)| {
                        let Reading { position, blocks, tokens: read, .. } = readings[*at];
                        let position = position + read.len() + length - 1;
                        Piece { tokens, position, blocks, logits: 1 }
                    })
                    .collect();
                if !self.likeliest(&pieces, some, &mut guessed, stop)? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(guessed))
    }

    /// Reads, and adds the likeliest token of each row of logits to its owner's; `false`:
    /// stopped.
    fn likeliest(
        &mut self,
        pieces: &[Piece<'_>],
        owners: &[usize],
        guessed: &mut [Vec<u32>],
        stop: &AtomicBool,
    ) -> Result<bool, ModelError> {
        let width = self.0.width();
        let Some(rows) = self.0.read(pieces, stop)? else { return Ok(false) };
        for (owner, row) in owners.iter().zip(rows.chunks_exact(width)) {
            let best = row.iter().zip(0_u32..).max_by(|a, b| a.0.total_cmp(b.0));
            guessed[*owner].extend(best.map(|(_, token)| token));
        }
        Ok(true)
    }
}

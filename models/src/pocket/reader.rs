//! The reader: whether a note answers a question, and which of its sentences does.
//!
//! Decomposable attention (Parikh et al. 2016, <https://arxiv.org/abs/1606.01933>)
//! over the embedder's table: two convolutions tell each piece what stands beside it,
//! question and note look each piece of the other up, and what was found is compared
//! and summed up. Beside the answer to "does it answer" each piece of the note gets a
//! mark: whether it is part of the answer. Made by `models/recipes/pocket/reader.py`;
//! the golden file holds this to it.
//!
//! ```text
//! bytes
//!     8  "ALMARDR\0"
//!     4  version of this layout, 1
//!     4  width
//!    32  SHA-256 of the embedder's file: its table gives the vectors of pieces
//!        the layers, in the order of [`Layers`]; of each: scales, f32, one per
//!        output; weights, i8, one row per output; what is added, f32
//! ```
//!
//! Numbers are little-endian.

use crate::compute::isa::Isa;
use crate::compute::layer::Linear;
use crate::embed::{StaticEmbedder, TABLE};
use charter::digest::Digest;
use charter::embed::Embed;
use charter::reflex::Reply;

static FILE: &[u8] = include_bytes!("../../pocket/reader.bin");

const MAGIC: &[u8] = b"ALMARDR\0";
const LAYOUT: u32 = 1;
/// Pieces of a question and of a note that are read.
const QUESTION_PIECES: usize = 48;
const NOTE_PIECES: usize = 128;
/// A text without a piece is read as this one, `[UNK]`.
const UNKNOWN: u32 = 100;
/// Length of a piece's vector.
const LENGTH: f32 = 4.0;
/// How much stronger a piece looks at its like.
const SAME: f32 = 3.0;
const SHARP: f32 = 4.0;
/// Bounds of what one feature may say.
const FEATURE_MAX: f32 = 10.0;

/// Why the reader cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// It does not start as one does, or a later program made it.
    #[error("reader.bin does not start as a reader of layout 1 does")]
    Header,
    /// It was made with another table of pieces.
    #[error("reader.bin was made with another embedder than the one that ships")]
    Embedder,
    /// It ends early, or goes on after its end.
    #[error("reader.bin is shorter or longer than its header says")]
    Length,
}

/// What is learned.
#[derive(Debug)]
struct Layers {
    /// A piece's vector to the reader's width.
    inward: Linear,
    /// A piece with its neighbours, twice.
    beside: [Linear; 2],
    /// What is looked up.
    look: Linear,
    /// A piece and what was found for it.
    compare: [Linear; 2],
    /// What the whole question wants.
    want: Linear,
    /// Whether a piece is part of the answer.
    mark: [Linear; 2],
    /// All of it to one number.
    sum: [Linear; 2],
}

/// The reader.
#[derive(Debug)]
pub(super) struct Reader {
    width: usize,
    layers: Layers,
    isa: Isa,
}

/// One side, as it is after it was read by itself.
struct Side {
    pieces: Vec<u32>,
    /// Each piece alone, and with its neighbours.
    alone: Vec<f32>,
    among: Vec<f32>,
    /// By what it is looked up.
    key: Vec<f32>,
}

impl Reader {
    /// The one that ships with the program.
    pub(super) fn shipped() -> Result<Self, ReaderError> {
        Self::read(FILE, TABLE)
    }

    fn read(bytes: &[u8], embedder: &[u8]) -> Result<Self, ReaderError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(ReaderError::Header)?;
        let (header, rest) = rest.split_at_checked(40).ok_or(ReaderError::Length)?;
        let field = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let (layout, width) = (field(0), field(4) as usize);
        if layout != LAYOUT || !(1..=4_096).contains(&width) {
            return Err(ReaderError::Header);
        }
        if header[8..] != Digest::of(embedder).0 {
            return Err(ReaderError::Embedder);
        }
        let mut rest = Rest(rest);
        let w = width;
        let layers = Layers {
            inward: rest.linear(256, w)?,
            beside: [rest.linear(3 * w, w)?, rest.linear(3 * w, w)?],
            look: rest.linear(2 * w, w)?,
            compare: [rest.linear(4 * w + 2, w)?, rest.linear(w, w)?],
            want: rest.linear(2 * w, w)?,
            mark: [rest.linear(4 * w, w)?, rest.linear(w, 1)?],
            sum: [rest.linear(5 * w + 1, w)?, rest.linear(w, 1)?],
        };
        if !rest.0.is_empty() {
            return Err(ReaderError::Length);
        }
        Ok(Self { width, layers, isa: Isa::best() })
    }

    /// What a note, given as its sentences, says to a question.
    pub(super) fn answer(&self, embedder: &StaticEmbedder, question: &str, note: &[&str]) -> Reply {
        let (score, marks, sentences) = self.read_both(embedder, question, note);
        let best = (0..marks.len()).max_by(|a, b| marks[*a].total_cmp(&marks[*b])).unwrap_or(0);
        Reply {
            sure: 1.0 / (1.0 + (-score).exp()),
            sentence: sentences.get(best).copied().unwrap_or(0),
        }
    }

    #[cfg(test)]
    pub(super) fn compared(
        &self,
        embedder: &StaticEmbedder,
        question: &str,
        note: &[&str],
    ) -> (f32, Vec<f32>) {
        let (score, marks, _) = self.read_both(embedder, question, note);
        (score, marks)
    }

    /// How sure, and each piece's mark and sentence.
    fn read_both(
        &self,
        embedder: &StaticEmbedder,
        question: &str,
        note: &[&str],
    ) -> (f32, Vec<f32>, Vec<usize>) {
        let mut pieces = Vec::new();
        embedder.pieces(question, |piece| pieces.push(piece));
        pieces.truncate(QUESTION_PIECES);
        let question = self.side(embedder, pieces);
        let (mut pieces, mut sentences) = (Vec::new(), Vec::new());
        for (nth, sentence) in note.iter().enumerate() {
            embedder.pieces(sentence, |piece| pieces.push(piece));
            sentences.resize(pieces.len(), nth);
        }
        pieces.truncate(NOTE_PIECES);
        let note = self.side(embedder, pieces);
        let (score, marks) = self.compare(&question, &note);
        (score, marks, sentences)
    }

    fn side(&self, embedder: &StaticEmbedder, mut pieces: Vec<u32>) -> Side {
        if pieces.is_empty() {
            pieces.push(UNKNOWN);
        }
        let dimensions = embedder.dimensions();
        let mut vectors = vec![0.0; pieces.len() * dimensions];
        for (piece, vector) in pieces.iter().zip(vectors.chunks_exact_mut(dimensions)) {
            embedder.add(*piece, vector);
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            if length > 0.0 {
                vector.iter_mut().for_each(|x| *x *= LENGTH / length);
            }
        }
        let alone = self.layers.inward.all(self.isa, &vectors);
        let [first, second] = &self.layers.beside;
        let near = relu(first.all(self.isa, &self.windows(&relu(alone.clone()))));
        let mut among = relu(second.all(self.isa, &self.windows(&near)));
        among.iter_mut().zip(&near).for_each(|(far, near)| *far += near);
        let key = self.layers.look.all(self.isa, &self.joined(&[&alone, &among]));
        Side { pieces, alone, among, key }
    }

    /// Each vector with the one before and the one behind it; zeros beyond the ends.
    fn windows(&self, vectors: &[f32]) -> Vec<f32> {
        let nothing = vec![0.0; self.width];
        let rows: Vec<&[f32]> = vectors.chunks_exact(self.width).collect();
        let at = |i: Option<usize>| i.and_then(|i| rows.get(i).copied()).unwrap_or(&nothing);
        (0..rows.len())
            .flat_map(|i| [at(i.checked_sub(1)), at(Some(i)), at(Some(i + 1))].concat())
            .collect()
    }

    /// Rows of several matrices of this width side by side.
    fn joined(&self, parts: &[&[f32]]) -> Vec<f32> {
        let count = parts.first().map_or(0, |part| part.len() / self.width);
        let row = |part: &[f32], i: usize| part[i * self.width..(i + 1) * self.width].to_vec();
        (0..count).flat_map(|i| parts.iter().flat_map(move |part| row(part, i))).collect()
    }

    /// How sure the note answers, and the mark of each of its pieces.
    fn compare(&self, question: &Side, note: &Side) -> (f32, Vec<f32>) {
        let w = self.width;
        let (m, n) = (question.pieces.len(), note.pieces.len());
        let scale = SHARP / (w as f32).sqrt();
        let mut look = vec![0.0; m * n];
        let mut like = vec![false; m * n];
        for (i, a) in question.key.chunks_exact(w).enumerate() {
            for (j, b) in note.key.chunks_exact(w).enumerate() {
                let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                like[i * n + j] = question.pieces[i] == note.pieces[j];
                look[i * n + j] = dot * scale + if like[i * n + j] { SAME } else { 0.0 };
            }
        }
        let turned: Vec<f32> =
            (0..n).flat_map(|j| (0..m).map(|i| look[i * n + j]).collect::<Vec<_>>()).collect();
        let liked: Vec<bool> =
            (0..n).flat_map(|j| (0..m).map(|i| like[i * n + j]).collect::<Vec<_>>()).collect();
        let found_by_question = self.seen(question, note, &look, &like);
        let found_by_note = self.seen(note, question, &turned, &liked);
        let [first, second] = &self.layers.compare;
        let compared =
            |found: &[f32]| relu(second.all(self.isa, &relu(first.all(self.isa, found))));
        let (asked, told) = (compared(&found_by_question), compared(&found_by_note));
        let quarter = scaled(sum_of(&asked, w), 0.25);
        let seen = most_of(&question.among, w);
        let want = relu(self.layers.want.all(self.isa, &[quarter.as_slice(), &seen].concat()));
        let mut marked = Vec::with_capacity(n * 4 * w);
        for (told, among) in told.chunks_exact(w).zip(note.among.chunks_exact(w)) {
            marked.extend_from_slice(told);
            marked.extend_from_slice(among);
            marked.extend(want.iter().zip(among).map(|(want, among)| want * among));
            marked.extend_from_slice(&want);
        }
        let [first, second] = &self.layers.mark;
        let marks = second.all(self.isa, &relu(first.all(self.isa, &marked)));
        let mut top = vec![0.0; w];
        for (share, told) in softmax(&marks).into_iter().zip(told.chunks_exact(w)) {
            top.iter_mut().zip(told).for_each(|(top, told)| *top += share * told);
        }
        let nearest = marks.iter().copied().fold(f32::MIN, f32::max);
        let all = [
            quarter,
            most_of(&asked, w),
            scaled(sum_of(&told, w), 0.125),
            top,
            want,
            vec![bounded(nearest)],
        ];
        let [first, second] = &self.layers.sum;
        let score = second.all(self.isa, &relu(first.all(self.isa, &all.concat())));
        (score.first().copied().unwrap_or(0.0), marks)
    }

    /// What each piece of one side is compared by: itself, what it found on the other
    /// side, and how well.
    fn seen(&self, own: &Side, other: &Side, look: &[f32], like: &[bool]) -> Vec<f32> {
        let w = self.width;
        let n = other.pieces.len();
        let mut out = Vec::with_capacity(own.pieces.len() * (4 * w + 2));
        let rows = own.alone.chunks_exact(w).zip(own.among.chunks_exact(w));
        let looks = look.chunks_exact(n).zip(like.chunks_exact(n));
        for ((alone, among), (look, like)) in rows.zip(looks) {
            let (mut there, mut around) = (vec![0.0; w], vec![0.0; w]);
            for (j, share) in softmax(look).into_iter().enumerate() {
                let row = j * w..(j + 1) * w;
                let add = |sum: &mut [f32], from: &[f32]| {
                    sum.iter_mut().zip(from).for_each(|(sum, x)| *sum += share * x);
                };
                add(&mut there, &other.alone[row.clone()]);
                add(&mut around, &other.among[row]);
            }
            out.extend(alone.iter().zip(&there).map(|(a, b)| a * b));
            out.extend_from_slice(among);
            out.extend_from_slice(&around);
            out.extend(alone.iter().zip(&there).map(|(a, b)| (a - b).abs()));
            out.push(if like.contains(&true) { 1.0 } else { 0.0 });
            out.push(bounded(look.iter().copied().fold(f32::MIN, f32::max)));
        }
        out
    }
}

fn relu(mut values: Vec<f32>) -> Vec<f32> {
    values.iter_mut().for_each(|value| *value = value.max(0.0));
    values
}

fn bounded(feature: f32) -> f32 {
    feature.clamp(-FEATURE_MAX, FEATURE_MAX) / 5.0
}

fn softmax(values: &[f32]) -> Vec<f32> {
    let top = values.iter().copied().fold(f32::MIN, f32::max);
    let shares: Vec<f32> = values.iter().map(|value| (value - top).exp()).collect();
    let all: f32 = shares.iter().sum();
    shares.into_iter().map(|share| share / all).collect()
}

fn sum_of(rows: &[f32], width: usize) -> Vec<f32> {
    rows.chunks_exact(width).fold(vec![0.0; width], |mut sum, row| {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        sum
    })
}

fn most_of(rows: &[f32], width: usize) -> Vec<f32> {
    rows.chunks_exact(width).fold(vec![f32::MIN; width], |mut most, row| {
        most.iter_mut().zip(row).for_each(|(most, x)| *most = most.max(*x));
        most
    })
}

fn scaled(mut values: Vec<f32>, by: f32) -> Vec<f32> {
    values.iter_mut().for_each(|value| *value *= by);
    values
}

/// What of the file is not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn linear(&mut self, inputs: usize, outputs: usize) -> Result<Linear, ReaderError> {
        let mut take = |bytes: usize| {
            let (taken, rest) = self.0.split_at_checked(bytes).ok_or(ReaderError::Length)?;
            self.0 = rest;
            Ok(taken)
        };
        let numbers = |bytes: &[u8]| -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        let scales = numbers(take(4 * outputs)?);
        let entries = take(inputs * outputs)?;
        let bias = numbers(take(4 * outputs)?);
        Ok(Linear::new(&scales, entries, bias))
    }
}

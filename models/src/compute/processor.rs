//! Steps of a network for a whole batch, shared out over threads: what a model is
//! put together from.

use super::activations::{Bytes, tiles};
use super::attention::{self, Queries, attend};
use super::cache::{Cache, POSITIONS};
use super::element::{rms_norm, rotate, silu_mul};
use super::formats::BLOCK;
use super::isa::Isa;
use super::matrix::{self, Batch, Matrix};
use super::panel::{Layout, ROWS};
use super::pool::{Pool, Shared};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Panels that a thread takes at a time.
const PIECE: usize = 4;
/// Most numbers of a head.
pub(crate) const HEAD_MAX: usize = 256;
/// Most queries that are computed together.
const TOGETHER: usize = super::tile::TOGETHER;

/// Threads with what each of them needs, and the instructions that they use.
pub(crate) struct Processor {
    isa: Isa,
    pool: Pool,
    scratch: Vec<matrix::Scratch>,
    scores: Vec<attention::Scratch>,
    /// Room for the parts of attention.
    parts: Vec<Part>,
}

/// A batch, as it goes through the layers: how its columns are computed together.
#[derive(Default)]
pub(crate) struct Tiles(Vec<Range<usize>>);

/// What a thread does of attention at a time: queries of a span for one head of keys.
struct Part {
    span: usize,
    /// Token of the batch with which the span begins.
    first: usize,
    head: usize,
    queries: Range<usize>,
}

/// Heads of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Heads of queries.
    pub(crate) queries: usize,
    /// Heads of keys and values.
    pub(crate) keys: usize,
    /// Numbers of a head; a multiple of sixteen, up to [`HEAD_MAX`].
    pub(crate) size: usize,
}

/// Where a token stands: its position, and its block of the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) position: usize,
    pub(crate) block: usize,
}

/// Tokens of one conversation that follow each other.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// How many.
    pub(crate) tokens: usize,
    /// Position of the first.
    pub(crate) position: usize,
    /// Blocks of the cache, up to the last: where they stand in the list of all.
    pub(crate) blocks: Range<usize>,
}

impl Processor {
    /// A processor of so many threads.
    pub(crate) fn new(isa: Isa, threads: usize) -> std::io::Result<Self> {
        let pool = Pool::new(threads)?;
        let scratch = (0..pool.threads()).map(|_| matrix::Scratch::new()).collect();
        let scores = (0..pool.threads()).map(|_| attention::Scratch::default()).collect();
        Ok(Self { isa, pool, scratch, scores, parts: Vec::new() })
    }

    /// How a batch of so many columns is computed.
    pub(crate) fn tiles(&self, columns: usize, into: &mut Tiles) {
        into.0.clear();
        into.0.extend(tiles(self.isa, columns));
    }

    /// Packs a matrix. `read` fills in the rows of a file from one row on.
    pub(crate) fn pack<E: Send>(
        &self,
        layout: Layout,
        rows: usize,
        read: impl Fn(usize, &mut [u8]) -> Result<(), E> + Sync,
    ) -> Option<Result<Matrix, E>> {
        let mut matrix = Matrix::zeroed(layout, rows)?;
        let size = layout.format.bytes(layout.columns);
        let panels = matrix.shared();
        let failed = Mutex::new(None);
        let buffers: Vec<Mutex<Vec<u8>>> =
            (0..self.pool.threads()).map(|_| Mutex::default()).collect();
        self.pool.run(rows.div_ceil(ROWS), &|panel, thread| {
            let mut bytes = buffers[thread].lock().unwrap_or_else(PoisonError::into_inner);
            bytes.resize(ROWS.min(rows - panel * ROWS) * size, 0);
            match read(panel * ROWS, &mut bytes) {
                // SAFETY: each panel is handed out once.
                Ok(()) => unsafe { Matrix::pack(self.isa, layout, panels, panel, &bytes) },
                Err(error) => *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
            }
        });
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some(match failed {
            Some(error) => Err(error),
            None => Ok(matrix),
        })
    }

    /// `out += matrix * batch` for matrices with as many columns as the batch has
    /// rows; `out` has [`Matrix::padded`] numbers for each column of the batch.
    pub(crate) fn multiply(&mut self, batch: Batch<'_>, products: &mut [(&Matrix, &mut [f32])]) {
        let pieces = |matrix: &Matrix| matrix.panel_count().div_ceil(PIECE);
        let all = products.iter().map(|(matrix, _)| pieces(matrix)).sum();
        for (matrix, out) in &*products {
            assert!(out.len() >= batch.columns * matrix.padded(), "a product has no room");
        }
        // At most four products share a batch: queries, keys and values; gate and up.
        let mut shared: [Option<(&Matrix, Shared<'_, f32>)>; 4] = [None; 4];
        for (slot, (matrix, out)) in shared.iter_mut().zip(products) {
            *slot = Some((matrix, Shared::new(out)));
        }
        let (isa, scratch) = (self.isa, Shared::new(&mut self.scratch));
        self.pool.run(all, &|piece, thread| {
            let mut piece = piece;
            for (matrix, out) in shared.iter().flatten() {
                let own = pieces(matrix);
                if piece >= own {
                    piece -= own;
                    continue;
                }
                let panels = piece * PIECE..((piece + 1) * PIECE).min(matrix.panel_count());
                // SAFETY: each thread has its own scratch, and each piece its own panels.
                unsafe {
                    let scratch = &mut scratch.part(thread..thread + 1)[0];
                    matrix.multiply(isa, panels, batch, *out, scratch);
                }
                return;
            }
        });
    }

    /// Normalised columns, as floats and as bytes.
    pub(crate) fn rms_norm(
        &self,
        batch: &Tiles,
        x: &[f32],
        (weight, epsilon): (&[f32], f32),
        out: &mut [f32],
        bytes: &mut Bytes,
    ) {
        let rows = weight.len();
        let out = Shared::new(out);
        self.each_tile(batch, rows, bytes, |tile| {
            // SAFETY: each tile is handed out once.
            let out = unsafe { out.part(tile.start * rows..tile.end * rows) };
            let columns = x[tile.start * rows..].chunks_exact(rows);
            for (x, out) in columns.zip(out.chunks_exact_mut(rows)) {
                rms_norm(self.isa, x, weight, epsilon, out);
            }
            out
        });
    }

    /// Columns of so many rows, as bytes.
    pub(crate) fn quantise(&self, batch: &Tiles, rows: usize, x: &[f32], bytes: &mut Bytes) {
        self.each_tile(batch, rows, bytes, |tile| &x[tile.start * rows..tile.end * rows]);
    }

    /// What the gates let through, as floats (in `gate`) and as bytes.
    pub(crate) fn silu_mul(
        &self,
        batch: &Tiles,
        rows: usize,
        gate: &mut [f32],
        up: &[f32],
        bytes: &mut Bytes,
    ) {
        let gate = Shared::new(gate);
        self.each_tile(batch, rows, bytes, |tile| {
            let own = tile.start * rows..tile.end * rows;
            // SAFETY: each tile is handed out once.
            let gate = unsafe { gate.part(own.clone()) };
            silu_mul(self.isa, gate, &up[own]);
            gate
        });
    }

    /// Computes columns tile by tile and keeps them as bytes too, where products with
    /// bytes are possible.
    fn each_tile<'a>(
        &self,
        batch: &Tiles,
        rows: usize,
        bytes: &mut Bytes,
        compute: impl Fn(&Range<usize>) -> &'a [f32] + Sync,
    ) {
        let fill = bytes.shared();
        self.pool.run(batch.0.len(), &|at, _| {
            let tile = &batch.0[at];
            let columns = compute(tile);
            if rows.is_multiple_of(BLOCK) {
                // SAFETY: each tile is handed out once.
                unsafe { fill.quantise(self.isa, tile, rows, columns, rows) };
            }
        });
    }

    /// Turns queries and keys by the angles (cosines and sines) of their positions, after
    /// normalising each head where the model does, and writes keys and values into the
    /// cache. No two places are the same.
    #[expect(clippy::too_many_arguments, reason = "all that attention begins with")]
    pub(crate) fn place<'a>(
        &self,
        heads: Heads,
        layer: usize,
        places: &[Place],
        angles: impl Fn(usize) -> (&'a [f32], &'a [f32]) + Sync,
        norms: Option<(&[Vec<f32>; 2], f32)>,
        q: &mut [f32],
        k: &mut [f32],
        v: &[f32],
        cache: &mut Cache,
    ) {
        let (q_rows, k_rows) = (heads.queries * heads.size, heads.keys * heads.size);
        let (q, k, writer) = (Shared::new(q), Shared::new(k), cache.shared());
        let scale = 1.0 / (heads.size as f32).sqrt();
        self.pool.run(places.len(), &|at, _| {
            let place = &places[at];
            let (cos, sin) = angles(place.position);
            // SAFETY: each token is handed out once.
            let (q, k) = unsafe {
                (q.part(at * q_rows..(at + 1) * q_rows), k.part(at * k_rows..(at + 1) * k_rows))
            };
            for (which, all) in [&mut *q, &mut *k].into_iter().enumerate() {
                for head in all.chunks_exact_mut(heads.size) {
                    if let Some((norms, epsilon)) = norms {
                        let mut normed = [0.0; HEAD_MAX];
                        let normed = &mut normed[..heads.size];
                        rms_norm(self.isa, head, &norms[which], epsilon, normed);
                        head.copy_from_slice(normed);
                    }
                    rotate(self.isa, head, cos, sin);
                }
            }
            q.iter_mut().for_each(|number| *number *= scale);
            let v = &v[at * k_rows..(at + 1) * k_rows];
            // SAFETY: the caller says that each token has a place of its own.
            unsafe { writer.write(layer, place.block, place.position % POSITIONS, k, v) };
        });
    }

    /// Attention of spans, whose keys and values are in these blocks of the cache.
    pub(crate) fn attend(
        &mut self,
        heads: Heads,
        layer: usize,
        (spans, blocks): (&[Span], &[u32]),
        q: &[f32],
        cache: &Cache,
        out: &mut [f32],
    ) {
        // Heads that share keys and values are computed together, of as many tokens as
        // fit.
        let (group, rows) = (heads.queries / heads.keys, heads.queries * heads.size);
        self.parts.clear();
        let mut first = 0;
        for (own, span) in spans.iter().enumerate() {
            for queries in tiles(self.isa, span.tokens * group) {
                let part = |head| Part { span: own, first, head, queries: queries.clone() };
                self.parts.extend((0..heads.keys).map(part));
            }
            first += span.tokens;
        }
        let (isa, out, scores) = (self.isa, Shared::new(out), Shared::new(&mut self.scores));
        let parts = &self.parts;
        self.pool.run(parts.len(), &|at, thread| {
            // The last ones see most: they go first, so that no thread ends late.
            let Part { span, first, head, queries: tile } = &parts[parts.len() - 1 - at];
            let span = &spans[*span];
            let from = |query: usize| {
                let column = (first + query / group) * rows;
                column + (head * group + query % group) * heads.size
            };
            let (mut queries, mut seen) = ([0.0; TOGETHER * HEAD_MAX], [0.0; TOGETHER * HEAD_MAX]);
            let mut visible = [0; TOGETHER];
            for (at, query) in tile.clone().enumerate() {
                let own = &q[from(query)..from(query) + heads.size];
                queries[at * heads.size..][..heads.size].copy_from_slice(own);
                visible[at] = span.position + query / group + 1;
            }
            let asked = Queries {
                layer,
                head: *head,
                blocks: &blocks[span.blocks.clone()],
                queries: &queries[..tile.len() * heads.size],
                visible: &visible[..tile.len()],
            };
            // SAFETY: each thread has its own scratch, and each part its own queries.
            unsafe {
                let scratch = &mut scores.part(thread..thread + 1)[0];
                let seen = &mut seen[..tile.len() * heads.size];
                attend(isa, cache, &asked, scratch, seen);
                for (query, seen) in tile.clone().zip(seen.chunks_exact(heads.size)) {
                    out.part(from(query)..from(query) + heads.size).copy_from_slice(seen);
                }
            }
        });
    }
}

//! The Librarian: memory. She observes, recalls, consolidates, contradicts and
//! forgets, and invents nothing: every memory has a source.
//!
//! | to know | look at |
//! |---|---|
//! | herself: the one who has the index and follows the ledger | [`Librarian`] |
//! | what she can be asked | [`ask`] |
//! | from what happened to what is kept | [`keep`] |
//! | what is worth keeping, and what is known already | [`gate`], [`claims`] |
//! | text out of files, and passages of it | [`extract`], [`passages`] |
//! | words as terms | [`terms`] |
//! | from what was found to one order, with reasons | [`rank`] |
//! | memories as points, and the search over them | [`index`] |
//! | what goes when something goes | [`forget`] |
//! | answers and summaries in the sources' own words | [`answer`], [`summary`], [`about`] |
//! | all of that for tools, behind a port | [`excerpts`] |

pub mod about;
pub mod answer;
pub mod ask;
pub mod claims;
pub mod error;
pub mod excerpts;
pub mod extract;
pub mod forget;
mod forgetting;
pub mod gate;
pub mod index;
pub mod keep;
mod librarian;
mod observe;
pub mod passages;
pub mod rank;
pub mod summary;
pub mod terms;
#[cfg(test)]
pub(crate) mod testing;

pub use librarian::{Ask, Librarian};

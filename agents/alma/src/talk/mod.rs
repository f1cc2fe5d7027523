//! How Alma takes what people say: pure decisions, no I/O.
//!
//! | to know | look at |
//! |---|---|
//! | what is to be done about a message | [`route`] |
//! | what "it" and "the same" mean | [`focus`] |
//! | whether this is a moment to destroy something | [`risk`] |
//! | what is told, and what it corrects | [`told`] |
//! | the shape of an answer | [`tone`] |
//! | the words of each language | [`words`] and `words/*.yaml` |

pub mod focus;
pub mod risk;
pub mod route;
pub mod told;
pub mod tone;
pub mod words;

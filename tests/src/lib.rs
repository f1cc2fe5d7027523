//! The test harness: a whole Alma on a folder ([`rig`], [`desk`]), tools
//! that lie ([`liar`]), the real binary on folders of its own ([`shell`]), a dead
//! worker whose words arrive late ([`late`]), and simulated ports with seeded
//! faults ([`sim`]), and language models by chance ([`checkpoint`]).

pub mod checkpoint;
pub mod counting;
pub mod desk;
pub mod late;
pub mod liar;
pub mod markdown;
pub mod rig;
pub mod shell;
pub mod sim;
pub mod terminal;
pub mod web;

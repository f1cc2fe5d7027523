//! The tools, one file each. A new tool is a file, a line here, and a check in
//! [`crate::checks`].

pub(crate) mod brief;
pub(crate) mod compare;
pub(crate) mod compose;
pub(crate) mod convert;
pub(crate) mod count;
pub(crate) mod decisions;
pub(crate) mod delete;
pub(crate) mod extract;
pub(crate) mod hash;
pub(crate) mod list;
pub(crate) mod mailbox;
pub(crate) mod move_file;
pub(crate) mod novelties;
pub(crate) mod pack;
pub(crate) mod project;
pub(crate) mod read;
pub(crate) mod replace;
pub mod run;
pub(crate) mod search;
pub(crate) mod summarise;
pub(crate) mod table;
pub(crate) mod unpack;
pub(crate) mod write;

use crate::sandbox::Sandbox;
use crate::tool::Tool;
use charter::excerpt::Excerpts;
use charter::generate::Generate;
use std::sync::Arc;

/// All tools that need nothing but a workspace.
pub fn all() -> Vec<Box<dyn Tool>> {
    vec![
        Box::new(compare::Compare),
        Box::new(compose::Compose),
        Box::new(convert::Convert),
        Box::new(count::Count),
        Box::new(delete::Delete),
        Box::new(extract::Extract),
        Box::new(hash::Hash),
        Box::new(list::List),
        Box::new(move_file::Move),
        Box::new(pack::Pack),
        Box::new(project::Project),
        Box::new(read::Read),
        Box::new(replace::Replace),
        Box::new(search::Search),
        Box::new(table::TableTool),
        Box::new(unpack::Unpack),
        Box::new(write::Write),
    ]
}

/// All tools, and `run` with the sandbox that contains its programs.
pub fn with_sandbox(sandbox: Arc<Sandbox>) -> Vec<Box<dyn Tool>> {
    let mut tools = all();
    tools.push(Box::new(run::Run::new(sandbox)));
    tools
}

/// The tools that read and quote; with a model, summaries may be in its words.
pub fn that_quote(
    excerpts: &Arc<dyn Excerpts>,
    model: Option<Arc<dyn Generate>>,
) -> Vec<Box<dyn Tool>> {
    let with = || Arc::clone(excerpts);
    vec![
        Box::new(brief::Brief(with())),
        Box::new(decisions::Decisions(with())),
        Box::new(mailbox::Mailbox(with())),
        Box::new(novelties::Novelties(with())),
        Box::new(summarise::Summarise { excerpts: with(), model }),
    ]
}

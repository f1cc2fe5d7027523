//! The playbooks that are shipped, and the library that wishes are compared with.
//!
//! A new playbook is one file in `playbooks/` and one line here.

use crate::likeness::Index;
use crate::playbook::{Playbook, PlaybookError};
use crate::words::Lexicon;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every shipped playbook.
        pub const SHIPPED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../playbooks/", $name, ".yaml")))),*];
    };
}

shipped! {
    "action-items",
    "addresses",
    "brief",
    "broken-links",
    "code-comments",
    "code-lines",
    "compare",
    "convert",
    "convert-and-total",
    "decisions",
    "delete-files",
    "duplicates",
    "headings",
    "links",
    "list-files",
    "mail-digest",
    "mentions",
    "move-files",
    "new-files",
    "pack",
    "replace-text",
    "run-tests",
    "summary-page",
    "table-average",
    "table-count",
    "table-filter",
    "table-sort",
    "table-total",
    "timeline",
    "unpack",
    "word-count",
}

/// Playbooks with what they know of words.
pub struct Library {
    /// Words of languages.
    pub lexicon: &'static Lexicon,
    /// The playbooks.
    pub playbooks: Vec<Playbook>,
    /// What they know of words.
    pub index: Index,
}

impl Library {
    /// The shipped playbooks.
    pub fn shipped() -> Result<Self, PlaybookError> {
        Self::with(Vec::new())
    }

    /// The shipped playbooks and these (file name and text); one of the same name
    /// takes the place of a shipped one.
    pub fn with(own: Vec<(String, String)>) -> Result<Self, PlaybookError> {
        let lexicon = Lexicon::shipped().map_err(PlaybookError::Words)?;
        let own = own
            .iter()
            .map(|(file, text)| Ok(Playbook { own: true, ..Playbook::parse(file, text, lexicon)? }))
            .collect::<Result<Vec<_>, PlaybookError>>()?;
        let mut playbooks = SHIPPED
            .iter()
            .map(|(name, text)| Playbook::parse(name, text, lexicon))
            .collect::<Result<Vec<_>, _>>()?;
        playbooks.retain(|shipped| own.iter().all(|own| own.name != shipped.name));
        playbooks.extend(own);
        Self::of(playbooks)
    }

    /// Exactly these playbooks.
    pub fn of(mut playbooks: Vec<Playbook>) -> Result<Self, PlaybookError> {
        let lexicon = Lexicon::shipped().map_err(PlaybookError::Words)?;
        playbooks.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = playbooks.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(PlaybookError::Twice(pair[0].name.clone()));
        }
        let index = Index::new(&playbooks, lexicon);
        Ok(Self { lexicon, playbooks, index })
    }

    /// A playbook by its name.
    pub fn get(&self, name: &str) -> Option<&Playbook> {
        self.playbooks.iter().find(|playbook| playbook.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_shipped_under_its_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
            .collect();
        files.sort();
        let library = Library::shipped().unwrap();
        let names: Vec<&str> = library.playbooks.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(files, names);
    }

    #[test]
    fn an_own_playbook_takes_the_place_of_a_shipped_one() {
        let (_, text) = SHIPPED[0];
        let own = text.replace("version: 1", "version: 77");
        let library = Library::with(vec![("own.yaml".to_owned(), own)]).unwrap();
        assert_eq!(library.playbooks.len(), SHIPPED.len());
        assert_eq!(library.get("action-items").unwrap().version, 77);
    }
}

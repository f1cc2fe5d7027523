//! Reads the documents that missions write: by another reader than theirs.

/// The cells of every row of the tables in a text, headers left out.
pub fn table(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &str| line.starts_with("| -");
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with('|') && !is_rule(line))
        .filter(|(i, _)| !lines.get(i + 1).is_some_and(|next| is_rule(next)))
        .map(|(_, line)| {
            let inner = line.trim().trim_matches('|');
            inner.split(" | ").map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// Some columns of every row, joined by blanks.
pub fn columns(text: &str, wanted: &[usize]) -> Vec<String> {
    let cell = |row: &Vec<String>, at: &usize| row.get(*at).cloned().unwrap_or_default();
    table(text)
        .iter()
        .map(|row| wanted.iter().map(|at| cell(row, at)).collect::<Vec<_>>().join(" "))
        .collect()
}

/// The entries of every list in a text, each below the heading it stands under:
/// `Heading: entry`.
pub fn entries(text: &str) -> Vec<String> {
    let mut heading = "";
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(new) = line.strip_prefix('#') {
            heading = new.trim_start_matches('#').trim();
        } else if let Some(entry) = line.strip_prefix("- ") {
            let entry = entry.strip_prefix("[ ] ").unwrap_or(entry);
            found.push(format!("{heading}: {entry}"));
        }
    }
    found
}

/// The records of a CSV text, the header first: cells in quotes may hold
/// separators, and two quotes are one.
pub fn csv(text: &str, separator: char) -> Vec<Vec<String>> {
    let text = text.trim_start_matches('\u{feff}');
    let parse = |line: &str| {
        let (mut cells, mut quoted) = (vec![String::new()], false);
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                c if c == separator && !quoted => cells.push(String::new()),
                c => cells.last_mut().expect("one at least").push(c),
            }
        }
        cells
    };
    text.lines().filter(|line| !line.is_empty()).map(parse).collect()
}

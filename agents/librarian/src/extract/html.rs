//! The words of a web page: tags out, blocks on lines of their own, what is not
//! shown left out.

/// Elements whose content is not for reading.
const HIDDEN: &[&str] = &["script", "style", "noscript", "template", "svg", "head", "iframe"];
/// Elements that stay within a line.
const INLINE: &[&str] = &[
    "a", "abbr", "b", "bdi", "cite", "code", "em", "font", "i", "kbd", "mark", "q", "s", "samp",
    "small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr", "ins", "del", "label",
];

/// The words. Entities are resolved, white space is folded.
pub(super) fn words(page: &str) -> String {
    let mut out = String::with_capacity(page.len() / 2);
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        put(&mut out, text);
        if let Some(comment) = tag.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        let inside = tag.get(1..).unwrap_or("");
        let closing = inside.starts_with('/');
        let name: String = inside
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .take(20)
            .collect::<String>()
            .to_ascii_lowercase();
        if name.is_empty() && !inside.starts_with(['!', '?', '/']) {
            // A sign, not a tag: "a < b".
            out.push('<');
            rest = inside;
            continue;
        }
        rest = tag_end(inside);
        if HIDDEN.contains(&name.as_str()) && !closing {
            rest = after_closing(rest, &name);
        }
        match name.as_str() {
            name if INLINE.contains(&name) => {}
            "td" | "th" => out.push('\t'),
            "li" if !closing => out.push_str("\n- "),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" if !closing => out.push_str("\n\n# "),
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => out.push_str("\n\n"),
            _ => out.push('\n'),
        }
    }
    put(&mut out, rest);
    tidy(&out)
}

/// What follows the end of a tag, quotes within it respected.
fn tag_end(inside: &str) -> &str {
    let mut quote = None;
    for (at, c) in inside.char_indices() {
        match (quote, c) {
            (None, '>') => return inside.get(at + 1..).unwrap_or(""),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    ""
}

/// What follows the closing tag of an element; an element that is never closed
/// ends with the page.
fn after_closing<'p>(page: &'p str, name: &str) -> &'p str {
    let mut rest = page;
    while let Some(at) = rest.find("</") {
        let inside = rest.get(at + 2..).unwrap_or("");
        if inside.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return tag_end(inside);
        }
        rest = inside;
    }
    ""
}

fn put(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, entity) = rest.split_at(at);
        fold(out, before);
        let named = entity.get(1..).and_then(|e| e.split_once(';')).filter(|(n, _)| n.len() < 12);
        match named.and_then(|(name, after)| Some((character(name)?, after))) {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push('&');
                rest = entity.get(1..).unwrap_or("");
            }
        }
    }
    fold(out, rest);
}

fn fold(out: &mut String, text: &str) {
    out.extend(text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }));
}

fn character(entity: &str) -> Option<char> {
    if let Some(number) = entity.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| !c.is_control());
    }
    Some(match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" | "rsquo" => '\'',
        "lsquo" => '‘',
        "ldquo" => '“',
        "rdquo" => '”',
        "nbsp" => ' ',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "euro" => '€',
        "copy" => '©',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "Auml" => 'Ä',
        "Ouml" => 'Ö',
        "Uuml" => 'Ü',
        "szlig" => 'ß',
        "eacute" => 'é',
        "egrave" => 'è',
        _ => return None,
    })
}

/// One space between words, at most one empty line between blocks.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines() {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() || line == "-" || line == "#" {
            empty += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        out.push_str(&line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(page: &str, expected: &str) {
        assert_eq!(words(page), expected, "{page}");
    }

    #[test]
    fn words_come_out_and_the_rest_stays() {
        check("<p>One <b>bold</b> word.</p><p>Two</p>", "One bold word.\n\nTwo");
        check("<head><title>x</title></head><body>Hi", "Hi");
        check("a<script>if (1 < 2) {}</script>b<STYLE>p{}</style>c", "a\nb\nc");
        check("<ul><li>one<li>two</ul>", "- one\n- two");
        check("<h1>Head</h1>text", "# Head\n\ntext");
        check("<tr><td>a</td><td>b</td></tr>", "a b");
    }

    #[test]
    fn entities_and_signs_are_read() {
        check("R&amp;D &#228;&#xe4; &nbsp; &unknown; & a < b", "R&D ää &unknown; & a < b");
        check("<a href=\"x>y\">link</a>", "link");
        check("<!-- <p>no</p> -->yes", "yes");
    }

    #[test]
    fn a_page_that_breaks_off_ends() {
        for page in ["<", "</", "<!--", "<script>", "<a href='", "&", "&#", "<p", "a<b"] {
            words(page);
        }
    }

    proptest! {
        #[test]
        fn any_page_gives_words(page in "(<|>|/|script|p|&|;|#|x|\"|'| |é|\n){0,60}") {
            let found = words(&page);
            prop_assert!(found.len() <= page.len() * 4 + 8);
        }
    }
}

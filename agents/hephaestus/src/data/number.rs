//! Numbers as people write them, read exactly: `1,234.50`, `1.234,50 €`,
//! `(12.00)`, `CHF 1'200`, `−3`. No binary fractions.

use rust_decimal::Decimal;
use serde_json::{Number, Value};

/// Which mark stands before the fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// `1,234.50`
    Dot,
    /// `1.234,50`
    Comma,
}

/// A written number taken apart.
struct Written {
    negative: bool,
    body: String,
}

/// Signs of currencies and of percent that may stand before or after a number.
fn is_unit(c: char) -> bool {
    matches!(
        c,
        '$' | '€'
            | '£'
            | '¥'
            | '₹'
            | '₽'
            | '₩'
            | '₺'
            | '₴'
            | '₪'
            | '฿'
            | '₫'
            | '¢'
            | '%'
    )
}

fn is_group_blank(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '’')
}

/// Takes a unit off one end: a sign, or a code such as `EUR`, `kr`, `Fr.`.
fn strip_unit(text: &str, front: bool) -> &str {
    const CODES: [&str; 4] = ["kr", "Kr", "Fr.", "R$"];
    let known = |code: &str| {
        CODES.contains(&code)
            || code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())
    };
    let at = if front {
        text.find(|c: char| c.is_ascii_digit() || matches!(c, '-' | '−' | '+' | '.' | ','))
    } else {
        text.rfind(|c: char| c.is_ascii_digit() || c == '-').map(|at| at + 1)
    };
    let Some(at) = at else { return text };
    let (left, right) = text.split_at(at);
    let (unit, rest) = if front { (left, right) } else { (right, left) };
    // `Fr.12`: the dot belongs to the unit.
    let (unit, rest) = match rest.strip_prefix('.') {
        Some(after) if front && unit == "Fr" => ("Fr.", after),
        _ => (unit, rest),
    };
    let unit = unit.trim();
    let mut chars = unit.chars();
    let single = chars.next().is_some_and(is_unit) && chars.next().is_none();
    if single || known(unit) { rest.trim() } else { text }
}

fn take_apart(text: &str) -> Option<Written> {
    let mut rest = text.trim();
    let mut negative = false;
    if let Some(inner) = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        negative = true;
        rest = inner.trim();
    }
    let mut signs = 0;
    // Sign and unit come in either order: `-€5`, `€-5`.
    for _ in 0..2 {
        rest = strip_unit(rest, true);
        if let Some(after) = rest.strip_prefix(['-', '−']) {
            (signs, rest) = (signs + 1, after.trim_start());
        } else if let Some(after) = rest.strip_prefix('+') {
            rest = after.trim_start();
        }
    }
    rest = strip_unit(rest, false);
    if let Some(before) = rest.strip_suffix(['-', '−']) {
        (signs, rest) = (signs + 1, before.trim_end());
    }
    if signs > 1 || (negative && signs > 0) {
        return None;
    }
    let shaped = rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','))
        && rest.ends_with(|c: char| c.is_ascii_digit())
        && rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',') || is_group_blank(c));
    shaped.then(|| Written { negative: negative || signs == 1, body: rest.to_owned() })
}

/// Whether digits are grouped as people group them: `1`, `1,234`, `12,34,567`.
fn grouped(whole: &str, mark: impl Fn(char) -> bool) -> bool {
    let groups: Vec<&str> = whole.split(mark).collect();
    let (Some((first, rest)), last) = (groups.split_first(), groups.last()) else { return false };
    rest.is_empty()
        || (1..=3).contains(&first.len())
            && rest.iter().all(|group| (2..=3).contains(&group.len()))
            && last.is_some_and(|last| last.len() == 3)
}

/// What one number shows about the mark before fractions.
enum Shape {
    /// No dot, no comma.
    Whole,
    /// Only readable this way; `None`: both marks could not be told apart.
    Clear(Point),
    /// `1,234` or `1.234`: either grouping or a fraction of three digits.
    Either,
    /// No number.
    None,
}

fn shape(body: &str) -> Shape {
    let count = |mark: char| body.matches(mark).count();
    let (dots, commas) = (count('.'), count(','));
    let has_blank = body.contains(is_group_blank);
    match (dots, commas) {
        (0, 0) => Shape::Whole,
        (1, 0) | (0, 1) => {
            let (mark, fraction_of) =
                if dots == 1 { ('.', Point::Dot) } else { (',', Point::Comma) };
            let (whole, fraction) = body.split_once(mark).unwrap_or_default();
            let either = fraction.len() == 3
                && (1..=3).contains(&whole.len())
                && !whole.starts_with('0')
                && !has_blank;
            if either { Shape::Either } else { Shape::Clear(fraction_of) }
        }
        (_, 0) => Shape::Clear(Point::Comma),
        (0, _) => Shape::Clear(Point::Dot),
        _ => match (body.rfind('.'), body.rfind(',')) {
            (Some(dot), Some(comma)) if dot > comma && dots == 1 => Shape::Clear(Point::Dot),
            (Some(dot), Some(comma)) if comma > dot && commas == 1 => Shape::Clear(Point::Comma),
            _ => Shape::None,
        },
    }
}

/// The mark before fractions that a column's values agree on, if any shows it
/// and none shows the other.
pub(crate) fn point_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<Point> {
    let mut seen = None;
    for text in texts.into_iter().filter(|text| parse(text, None).is_some()) {
        let Some(Shape::Clear(point)) = take_apart(text).map(|written| shape(&written.body)) else {
            continue;
        };
        match seen {
            Some(other) if other != point => return None,
            _ => seen = Some(point),
        }
    }
    seen
}

/// Reads a number. `point` decides what `1,234` and `1.234` mean; without it the
/// comma groups and the dot is before a fraction.
pub(crate) fn parse(text: &str, point: Option<Point>) -> Option<Decimal> {
    let text = text.trim();
    if text.contains(['e', 'E'])
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
    {
        return Decimal::from_scientific(text).ok();
    }
    let Written { negative, body } = take_apart(text)?;
    let point = match shape(&body) {
        Shape::Whole => Point::Dot,
        Shape::Clear(shown) => shown,
        Shape::Either => point.unwrap_or(Point::Dot),
        Shape::None => return None,
    };
    let (mark, other) = if point == Point::Dot { ('.', ',') } else { (',', '.') };
    let (whole, fraction) = match body.rsplit_once(mark) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (body.as_str(), None),
    };
    let is_mark = |c: char| c == other || is_group_blank(c);
    let sound = (grouped(whole, is_mark) || whole.is_empty() && fraction.is_some())
        && fraction.is_none_or(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit()));
    if !sound {
        return None;
    }
    let mut plain: String = whole.chars().filter(char::is_ascii_digit).collect();
    if plain.is_empty() {
        plain.push('0');
    }
    if let Some(fraction) = fraction {
        plain.push('.');
        plain.push_str(fraction);
    }
    let value = Decimal::from_str_exact(&plain).ok()?;
    Some(if negative { -value } else { value })
}

/// The number as JSON: a number when nothing is lost, else its text.
pub(crate) fn to_json(value: Decimal) -> Value {
    let text = value.normalize().to_string();
    if let Ok(whole) = text.parse::<i64>() {
        return Value::from(whole);
    }
    let lossless = text
        .parse::<f64>()
        .ok()
        .filter(|float| Decimal::from_str_exact(&float.to_string()).ok() == Some(value.normalize()))
        .and_then(Number::from_f64);
    lossless.map_or(Value::String(text), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: &str) {
        let point = point_of([text]);
        let found = parse(text, point).map(|value| value.to_string());
        assert_eq!(found.as_deref(), Some(expect), "{text:?}");
    }

    #[test]
    fn people_write_numbers_in_many_ways() {
        check("12", "12");
        check("12.50", "12.50");
        check("1,234.50", "1234.50");
        check("1.234,50", "1234.50");
        check("1.234.567", "1234567");
        check("1 234,5", "1234.5");
        check("1'234.50", "1234.50");
        check("12,00,000.00", "1200000.00");
        check("0,125", "0.125");
        check(".5", "0.5");
        check("1e3", "1000");
    }

    #[test]
    fn signs_and_units_come_off() {
        check("-€5", "-5");
        check("€-5.20", "-5.20");
        check("$1,234.50", "1234.50");
        check("1.234,50 €", "1234.50");
        check("CHF 1'200", "1200");
        check("12.50EUR", "12.50");
        check("(12.00)", "-12.00");
        check("−3", "-3");
        check("12.50-", "-12.50");
        check("45 %", "45");
        check("Fr. 12.50", "12.50");
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "",
            "-",
            "n/a",
            "1.2.3",
            "12-34",
            "1,23,4",
            "2025-03-01",
            "12:30",
            "0x1f",
            "1_000",
            "--3",
            "5.",
            "abc",
            "12 apples",
            "1,2,3",
            "+",
            "€",
            "١٢",
        ] {
            assert_eq!(parse(text, None), None, "{text:?}");
        }
    }

    #[test]
    fn a_column_shows_what_its_marks_mean() {
        assert_eq!(point_of(["1.234", "12,50"]), Some(Point::Comma));
        assert_eq!(parse("1.234", Some(Point::Comma)), Some(Decimal::from(1234)));
        assert_eq!(parse("1,234", Some(Point::Dot)), Some(Decimal::from(1234)));
        assert_eq!(point_of(["1,234", "12"]), None);
        assert_eq!(point_of(["12,5", "12.5"]), None);
    }

    #[test]
    fn json_numbers_lose_nothing() {
        let check = |text: &str, expect: &str| {
            assert_eq!(to_json(Decimal::from_str_exact(text).unwrap()).to_string(), expect);
        };
        check("1234.50", "1234.5");
        check("12.00", "12");
        check("0.1", "0.1");
        check("12345678901234567890.123456789", "\"12345678901234567890.123456789\"");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(units in -99_999_999_999i64..99_999_999_999, scale in 0u32..5) {
            let value = Decimal::new(units, scale);
            prop_assert_eq!(parse(&value.to_string(), Some(Point::Dot)), Some(value));
            let comma = value.to_string().replace('.', ",");
            prop_assert_eq!(parse(&comma, Some(Point::Comma)), Some(value));
        }

        #[test]
        fn grouping_changes_nothing(whole in 0u64..9_999_999_999, cents in 0u32..100) {
            let digits = whole.to_string();
            let mut groups: Vec<String> = Vec::new();
            for chunk in digits.as_bytes().rchunks(3) {
                groups.insert(0, String::from_utf8(chunk.to_vec()).unwrap());
            }
            let expect = Decimal::from_str_exact(&format!("{whole}.{cents:02}")).unwrap();
            let english = format!("{}.{cents:02}", groups.join(","));
            let german = format!("{},{cents:02}", groups.join("."));
            prop_assert_eq!(parse(&english, None), Some(expect));
            prop_assert_eq!(parse(&german, None), Some(expect));
        }

        #[test]
        fn nothing_panics(text in "[-+0-9.,' €$%()A-Ze−]{0,12}") {
            let _ = parse(&text, None);
        }
    }
}

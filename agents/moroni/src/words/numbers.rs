//! Numbers as people write them: `1,234.50`, `1.234,50`, `twenty`.

use rust_decimal::Decimal;
use serde_json::{Number, Value};

/// Reads digits with separators. Where one separator could be either, three
/// digits behind it make it a thousands separator if the language writes it so.
pub fn decimal(text: &str, comma_is_decimal: bool) -> Option<Decimal> {
    let commas = text.matches(',').count();
    let dots = text.matches('.').count();
    let three_behind = |mark: char| text.rsplit(mark).next().is_some_and(|tail| tail.len() == 3);
    let decimal_mark = match (commas, dots) {
        (0, 0) => None,
        (_, 0) if commas > 1 => None,
        (0, _) if dots > 1 => None,
        (1, 0) if three_behind(',') && !comma_is_decimal => None,
        (0, 1) if three_behind('.') && comma_is_decimal => None,
        (_, 0) => Some(','),
        (0, _) => Some('.'),
        _ if text.rfind(',') > text.rfind('.') => Some(','),
        _ => Some('.'),
    };
    let plain: String = text
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == '-' || Some(*c) == decimal_mark)
        .map(|c| if Some(c) == decimal_mark { '.' } else { c })
        .collect();
    plain.parse::<Decimal>().ok().map(|number| number.normalize())
}

/// The number as JSON; as text where JSON numbers would lose digits.
pub fn json(number: Decimal) -> Value {
    let text = number.to_string();
    if let Ok(whole) = text.parse::<i64>() {
        return Value::from(whole);
    }
    let lossless = text.parse::<f64>().ok().filter(|float| float.to_string() == text);
    match lossless.and_then(Number::from_f64) {
        Some(number) => Value::Number(number),
        None => Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, comma: bool, expect: &str) {
        assert_eq!(decimal(text, comma).unwrap().to_string(), expect, "{text}");
    }

    #[test]
    fn separators_are_told_apart() {
        check("1,234.50", false, "1234.5");
        check("1.234,50", true, "1234.5");
        check("1,234", false, "1234");
        check("1.234", true, "1234");
        check("1,5", false, "1.5");
        check("1.5", true, "1.5");
        check("-20", true, "-20");
        check("1.000.000", false, "1000000");
    }

    #[test]
    fn json_keeps_every_digit() {
        assert_eq!(json(decimal("100", false).unwrap()), serde_json::json!(100));
        assert_eq!(json(decimal("0.1", false).unwrap()), serde_json::json!(0.1));
        let long = "0.1234567890123456789";
        assert_eq!(json(decimal(long, false).unwrap()), serde_json::json!(long));
    }
}

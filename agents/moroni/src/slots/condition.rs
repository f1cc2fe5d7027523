//! Conditions on the rows of a table.

use super::{Fill, Found};
use crate::likeness::Use;
use crate::playbook::Slot;
use crate::reading::{Mention, What};
use crate::tables::Table;
use crate::words::fold::fold;
use crate::words::numbers;
use crate::words::token::Kind;
use charter::survey::Column;
use jiff::civil::Date;
use serde_json::{Value, json};

/// A comparison in words, and where it begins.
struct Comparison {
    is: String,
    from: usize,
}

impl<'a> Fill<'_, 'a> {
    pub(super) fn condition(&mut self, slot: &Slot) -> Found {
        let Some(path) = self.table_path(slot) else { return Ok(None) };
        let Some(table) = self.reading.table(&path) else { return Ok(None) };
        let mut rows: Vec<Value> = Vec::new();
        self.by_number(table, &mut rows);
        self.by_days(table, &mut rows);
        self.by_value(table, &mut rows);
        self.by_words(table, &mut rows);
        Ok((!rows.is_empty()).then_some(Value::Array(rows)))
    }

    /// The comparison that ends before piece `at`, articles and signs between.
    fn comparison_before(&self, at: usize) -> Option<Comparison> {
        let sentence = self.sentence();
        let mut end = at;
        for _ in 0..4 {
            let start = end.checked_sub(1).filter(|i| *i >= self.range.start)?;
            let token = &sentence.tokens[start];
            if token.kind == Kind::Symbol {
                let is = match token.text.as_str() {
                    "≥" => ">=",
                    "≤" => "<=",
                    "≠" => "!=",
                    "==" => "=",
                    other => other,
                };
                return Some(Comparison { is: is.to_owned(), from: start });
            }
            let longest = (start.saturating_sub(3)..=start)
                .filter(|i| *i >= self.range.start)
                .flat_map(|i| {
                    sentence
                        .language
                        .compare
                        .all(&sentence.folded, i)
                        .map(move |(is, l)| (i, is, l))
                })
                .filter(|(i, _, length)| i + length == end)
                .max_by_key(|(_, _, length)| *length);
            if let Some((from, is, _)) = longest {
                return Some(Comparison { is: is.to_owned(), from });
            }
            if !(sentence.is_stop(start) || sentence.is_filler(start)) {
                return None;
            }
            end = start;
        }
        None
    }

    /// The column named in the few words before piece `at`.
    fn column_before(&self, table: &Table<'a>, at: usize) -> Option<(&'a Column, usize)> {
        let sentence = self.sentence();
        let mut i = at;
        for _ in 0..5 {
            i = i.checked_sub(1).filter(|i| *i >= self.range.start)?;
            if sentence.tokens[i].kind == Kind::Mark {
                return None;
            }
            for start in (i.saturating_sub(2)..=i).filter(|s| *s >= self.range.start) {
                if let Some((column, length, _)) = self.column_at(table, start)
                    && start + length == i + 1
                {
                    return Some((column, start));
                }
            }
        }
        None
    }

    fn column_behind(&self, table: &Table<'a>, at: usize) -> Option<&'a Column> {
        (at..(at + 3).min(self.range.end))
            .take_while(|i| self.sentence().tokens[*i].kind != Kind::Mark)
            .find_map(|i| self.column_at(table, i).map(|(column, _, _)| column))
    }

    /// "amount over 100", "over 100", "between 10 and 20".
    fn by_number(&mut self, table: &Table<'a>, rows: &mut Vec<Value>) {
        let numbers: Vec<(Mention, rust_decimal::Decimal)> = self
            .free_mentions()
            .into_iter()
            .filter_map(|m| match m.what {
                What::Number(number) => Some((m, number)),
                _ => None,
            })
            .collect();
        let mut lower: Option<(usize, Column)> = None;
        for (mention, number) in numbers {
            let language = self.sentence().language;
            let between = self.reading.lead(mention.from, &language.between);
            let until = self.reading.lead(mention.from, &language.until);
            let comparison = self.comparison_before(mention.from).filter(|comparison| {
                matches!(comparison.is.as_str(), ">" | ">=" | "<" | "<=" | "=" | "!=")
            });
            // "is between 10 and 20": the word next to the number counts.
            let begins = between.filter(|between| {
                comparison.as_ref().is_none_or(|comparison| comparison.from < between.start)
            });
            let (is, from) = match (comparison, &lower, begins, until) {
                (_, Some(_), _, Some(until)) => ("<=".to_owned(), until.start),
                (_, None, Some(between), _) => (">=".to_owned(), between.start),
                (Some(comparison), ..) => (comparison.is, comparison.from),
                _ => continue,
            };
            let before = self.column_before(table, from).filter(|(column, _)| column.numeric);
            let behind = self.column_behind(table, mention.to).filter(|column| column.numeric);
            let column = match (before, behind, &lower) {
                (_, _, Some((_, column))) if is == "<=" => Some(column.clone()),
                (Some((column, _)), _, _) => Some(column.clone()),
                (None, Some(column), _) => Some(column.clone()),
                _ => self.number_column(table),
            };
            let Some(column) = column else { continue };
            let from = before_place(self.column_before(table, from), from);
            self.mark(from..mention.from, Use::Lead);
            self.mark(mention.from..mention.to, Use::Value);
            // "at least 100" may have its words behind the number: "100 or more".
            lower = (is == ">=").then(|| (mention.to, column.clone()));
            rows.push(json!({"column": column.name, "is": is, "value": numbers::json(number)}));
        }
    }

    /// The column that a bare number compares with.
    fn number_column(&self, table: &Table<'a>) -> Option<Column> {
        let numeric = || table.columns.iter().filter(|c| c.column.numeric);
        if let (Some(one), None) = (numeric().next(), numeric().nth(1)) {
            return Some(one.column.clone());
        }
        let spoken = numeric().find(|c| {
            self.range.clone().any(|i| {
                self.column_at(table, i)
                    .is_some_and(|(column, _, direct)| direct && column == c.column)
            })
        });
        let mut amounts = numeric().filter(|c| c.is_amount());
        let amount = match (amounts.next(), amounts.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        };
        spoken.or(amount).map(|c| c.column.clone())
    }

    /// "in March 2025", "since 2025-01-01", "before last week".
    fn by_days(&mut self, table: &Table<'a>, rows: &mut Vec<Value>) {
        let is_dated =
            |column: &Column| table.columns.iter().any(|c| c.dated && c.column == column);
        let dated: Vec<&Column> =
            table.columns.iter().filter(|c| c.dated).map(|c| c.column).collect();
        let days: Vec<_> = self
            .free_mentions()
            .into_iter()
            .filter_map(|m| match m.what {
                What::Days(span) => Some((m, span)),
                _ => None,
            })
            .collect();
        let mut open: Option<String> = None;
        for (mention, span) in days {
            let comparison = self.comparison_before(mention.from);
            let from = comparison.as_ref().map_or(mention.from, |c| c.from);
            let named = self.column_before(table, from).filter(|(column, _)| is_dated(column));
            let column = match (named, dated.as_slice()) {
                (Some((column, _)), _) => column.name.clone(),
                (None, [one, ..]) => one.name.clone(),
                (None, []) => continue,
            };
            let language = self.sentence().language;
            let one =
                |is: &str, day: Date| json!({"column": column, "is": is, "value": day.to_string()});
            let until = self.reading.led_by(mention.from, &language.until);
            let between = self.reading.led_by(mention.from, &language.between);
            match comparison.as_ref().map(|c| c.is.as_str()) {
                _ if open.is_some() && until => {
                    rows.push(one("<=", span.end));
                    open = None;
                }
                Some("before" | "<") => rows.push(one("before", span.start)),
                Some("<=") => rows.push(one("<=", span.end)),
                Some(">=") => rows.push(one(">=", span.start)),
                Some("after" | ">") => rows.push(one("after", span.end)),
                _ if between && self.two_days_follow(mention.to) => {
                    rows.push(one(">=", span.start));
                    open = Some(column.clone());
                }
                _ if span.start == span.end => rows.push(one("=", span.start)),
                _ => {
                    rows.push(one(">=", span.start));
                    rows.push(one("<=", span.end));
                }
            }
            let from = comparison.map_or(mention.from, |c| c.from);
            self.mark(from..mention.from, Use::Lead);
            self.take(&mention);
        }
    }

    fn two_days_follow(&self, at: usize) -> bool {
        self.reading
            .mentions
            .iter()
            .any(|m| matches!(m.what, What::Days(_)) && m.from > at && m.from <= at + 3)
    }

    /// Values that stand in the table: "from Berlin", "where category is travel".
    fn by_value(&mut self, table: &Table<'a>, rows: &mut Vec<Value>) {
        let mut at = self.range.start;
        let mut last: Option<(String, &str, usize)> = None;
        while at < self.range.end {
            let Some((column, value, length)) = self.value_at(table, at) else {
                at += 1;
                continue;
            };
            let comparison = self.comparison_before(at);
            let excluded = {
                let except = self.reading.lead(at, &self.sentence().language.except);
                except.map(|lead| lead.start)
            };
            let from = excluded.or(comparison.as_ref().map(|c| c.from)).unwrap_or(at);
            let is = match comparison.as_ref().map(|c| c.is.as_str()) {
                _ if excluded.is_some() => "!=",
                Some("!=") => "!=",
                Some("contains") if self.column_before(table, from).is_some() => "contains",
                Some("starts") => "starts",
                _ => "=",
            };
            // "except food and travel": what stands before the first holds for both.
            let is = match &last {
                Some((name, earlier, end)) if *name == column.name && self.joined(*end, at) => {
                    *earlier
                }
                _ => is,
            };
            // Two values of one column cannot both hold: either may.
            let again = rows.iter_mut().find(|row| {
                is == "="
                    && matches!(row["is"].as_str(), Some("=" | "in"))
                    && row["column"] == column.name.as_str()
            });
            match again {
                Some(row) => one_more(row, value),
                None => rows.push(json!({"column": column.name, "is": is, "value": value})),
            }
            let lead = self.column_before(table, from).filter(|(c, _)| c.name == column.name);
            self.mark(before_place(lead, from)..at, Use::Lead);
            self.mark(at..at + length, Use::Value);
            at += length;
            last = Some((column.name.clone(), is, at));
        }
    }

    /// Whether nothing but function words and commas stands between two values.
    fn joined(&self, from: usize, to: usize) -> bool {
        let sentence = self.sentence();
        (from..to).all(|i| sentence.tokens[i].text == "," || sentence.is_stop(i))
    }

    /// The column and value that words at `at` name.
    pub(super) fn value_at(
        &self,
        table: &Table<'a>,
        at: usize,
    ) -> Option<(&'a Column, &'a str, usize)> {
        let sentence = self.sentence();
        let token = sentence.tokens.get(at)?;
        if !self.is_free(at) || !matches!(token.kind, Kind::Word | Kind::Quoted) {
            return None;
        }
        let mut best: Option<(&Column, &str, usize)> = None;
        for column in &table.columns {
            for (value, words) in &column.values {
                let quoted = token.kind == Kind::Quoted && fold(value) == token.folded;
                let length = if quoted { 1 } else { words.len() };
                let spells = || {
                    !words.is_empty()
                        && words.iter().enumerate().all(|(k, word)| {
                            let i = at + k;
                            i < self.range.end
                                && self.is_free(i)
                                && word.spelled(sentence, i, 6).is_some()
                        })
                };
                if best.is_some_and(|(_, _, longest)| longest >= length) || !(quoted || spells()) {
                    continue;
                }
                // A function word, or a word of one or two letters, is a value only
                // behind its column's name, or spelled exactly. So is a word by which
                // the playbook itself is known.
                let named = self.named_column(table, column.column, at);
                let short = value.chars().count() < 3 || sentence.is_stop(at);
                let certain = !short || named && !sentence.is_stop(at) || token.text == *value;
                let own = || self.index.rules_know(self.view(), at, self.p);
                if certain && (named || !own()) {
                    best = Some((column.column, value, length));
                }
            }
        }
        best
    }

    fn named_column(&self, table: &Table<'a>, column: &Column, at: usize) -> bool {
        let from = self.comparison_before(at).map_or(at, |c| c.from);
        self.column_before(table, from).is_some_and(|(c, _)| c.name == column.name)
    }

    /// "where customer is X" for an X that is not among the values seen.
    fn by_words(&mut self, table: &Table<'a>, rows: &mut Vec<Value>) {
        let mut at = self.range.start;
        while at < self.range.end {
            let Some((column, length, true)) = self.column_at(table, at) else {
                at += 1;
                continue;
            };
            let behind = at + length;
            let sentence = self.sentence();
            let phrase = sentence.language.compare.longest(&sentence.folded, behind);
            let symbol = sentence.tokens.get(behind).filter(|t| t.kind == Kind::Symbol);
            let (is, to) = match (phrase, symbol) {
                (_, Some(symbol)) => (symbol.text.replace("==", "="), behind + 1),
                (Some((is, length)), None) => (is.to_owned(), behind + length),
                (None, None) => {
                    at = behind;
                    continue;
                }
            };
            let word = sentence.tokens.get(to).filter(|_| self.range.contains(&to));
            let word = word.filter(|token| {
                self.is_free(to)
                    && (token.kind == Kind::Quoted || token.is_word() && !sentence.is_stop(to))
            });
            let taken = rows.iter().any(|row| row["column"] == column.name.as_str());
            let textual = matches!(is.as_str(), "=" | "!=" | "contains" | "starts");
            if let Some(word) = word.filter(|_| !taken && !column.numeric && textual) {
                let mut row = json!({"column": column.name, "is": is, "value": word.text.clone()});
                self.mark(at..to, Use::Lead);
                self.mark(to..to + 1, Use::Value);
                if is == "=" {
                    self.by_more_words(to + 1, &mut row);
                }
                rows.push(row);
            }
            at = behind.max(to);
        }
    }

    /// "… is X or Y": values behind the first, each with "or" before it.
    fn by_more_words(&mut self, from: usize, row: &mut Value) {
        let mut at = from;
        while at + 1 < self.range.end {
            let sentence = self.sentence();
            let or = sentence.language.or.contains(&sentence.folded[at]);
            let value = &sentence.tokens[at + 1];
            let fits = self.is_free(at + 1)
                && (value.kind == Kind::Quoted || value.is_word() && !sentence.is_stop(at + 1));
            if !(or && fits) {
                return;
            }
            one_more(row, &value.text.clone());
            self.mark(at..at + 1, Use::Lead);
            self.mark(at + 1..at + 2, Use::Value);
            at += 2;
        }
    }
}

/// Makes a row of one value a row of several.
fn one_more(row: &mut Value, value: &str) {
    let (Some(is), Some(held)) = (row.get("is").cloned(), row.get_mut("value")) else { return };
    match held {
        Value::Array(values) if !values.iter().any(|held| held == value) => {
            values.push(value.into());
        }
        held if is == "=" && held != value => {
            *held = json!([held.take(), value]);
            row["is"] = "in".into();
        }
        _ => {}
    }
}

fn before_place(column: Option<(&Column, usize)>, otherwise: usize) -> usize {
    column.map_or(otherwise, |(_, at)| at)
}

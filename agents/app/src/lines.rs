//! `alma models tokenize` and `alma models render`: JSON Lines in, JSON Lines out, with
//! a model's own tokenizer or chat template. Neither needs a data folder, nor weights.

use anyhow::{Context, bail};
use models::template::Template;
use models::tokens::Tokens;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead, BufWriter, Write};
use std::path::Path;
use surfaces::cli::args::ModelCommand;

/// Longest line, in bytes.
const LINE_MAX: usize = 64 << 20;

/// A text to cut into tokens, or tokens to put together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokenize {
    text: Option<String>,
    ids: Option<Vec<u32>>,
}

/// A conversation to write as one text.
#[derive(Deserialize)]
struct Render {
    messages: Value,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    add_generation_prompt: bool,
}

/// Whether a command is one of these; then it is carried out.
pub(crate) fn run(command: &ModelCommand) -> Option<anyhow::Result<()>> {
    match command {
        ModelCommand::Tokenize { model, special } => Some(tokenize(model, *special)),
        ModelCommand::Render { template } => Some(render(template)),
        ModelCommand::List | ModelCommand::Show { .. } => None,
    }
}

fn tokenize(model: &Path, special: bool) -> anyhow::Result<()> {
    let path = model.join("tokenizer.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let wrong = || format!("{} is no tokenizer that is known here", path.display());
    let tokens = Tokens::new(serde_json::from_str(&text).with_context(wrong)?, &[]);
    let tokens = tokens.with_context(wrong)?;
    each_line(|line| {
        let asked: Tokenize = serde_json::from_str(line)?;
        Ok(match (asked.text, asked.ids) {
            (Some(text), None) if special => json!({ "ids": tokens.encode_with_control(&text)? }),
            (Some(text), None) => json!({ "ids": tokens.encode(&text)? }),
            (None, Some(ids)) => {
                if let Some(id) = ids.iter().find(|id| **id as usize >= tokens.size()) {
                    bail!("there is no token {id}; the last is {}", tokens.size() - 1);
                }
                let text =
                    if special { tokens.decode_with_control(&ids) } else { tokens.decode(&ids) };
                json!({ "text": text })
            }
            _ => bail!("give either \"text\" or \"ids\""),
        })
    })
}

fn render(template: &Path) -> anyhow::Result<()> {
    let source = std::fs::read_to_string(template)
        .with_context(|| format!("could not read {}", template.display()))?;
    let template = Template::new(&source)
        .with_context(|| format!("the template {} cannot be used", template.display()))?;
    each_line(|line| {
        let asked: Render = serde_json::from_str(line)?;
        let tools = asked.tools.unwrap_or_default();
        let rendered = template.render(&asked.messages, &tools, asked.add_generation_prompt)?;
        Ok(json!({ "rendered": rendered }))
    })
}

/// Answers each line of standard input; stops at the first that cannot be answered.
fn each_line(answer: impl Fn(&str) -> anyhow::Result<Value>) -> anyhow::Result<()> {
    let mut input = std::io::stdin().lock();
    let mut output = BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let most = LINE_MAX as u64 + 1;
        let read = std::io::Read::take(&mut input, most).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let answered = if line.len() > LINE_MAX {
            Err(anyhow::anyhow!("it has more than {LINE_MAX} bytes"))
        } else {
            std::str::from_utf8(&line).map_err(Into::into).and_then(|text| match text.trim() {
                "" => Ok(None),
                text => answer(text).map(Some),
            })
        };
        match answered.with_context(|| format!("line {number} cannot be answered")) {
            Ok(Some(value)) => writeln!(output, "{value}")?,
            Ok(None) => {}
            Err(error) => {
                // What was answered before stands.
                output.flush()?;
                return Err(error);
            }
        }
    }
    Ok(output.flush()?)
}

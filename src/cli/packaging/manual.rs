//! Manual pages from the documents in `docs/`.
//!
//! A document is written in the part of Markdown that this file reads: headings of three levels,
//! paragraphs, lists of one level, tables, fenced blocks, comments, and within a line code, bold text and
//! links. A heading of the second level becomes a section, one of the third a subsection, a row of a table
//! a tagged paragraph whose tag is the first cell.

use roff::{Inline, Roff, bold, roman};

/// A part of a document.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    Section(String),
    Subsection(String),
    Paragraph(String),
    Item(String),
    Row(String, String),
    Example(Vec<String>),
}

/// A page of one or more documents. The title of the first is its NAME, the text before the first section
/// its DESCRIPTION; what stands before the sections of the others is left out.
pub(super) struct ManualPage {
    pub(super) name: &'static str,
    pub(super) section: &'static str,
    pub(super) synopsis: &'static str,
    pub(super) documents: &'static [&'static str],
}

impl ManualPage {
    /// The page in the macros of man(7).
    pub(super) fn roff(&self) -> String {
        let Self { name, section, .. } = *self;
        let mut roff = Roff::new();
        let source = format!("uplinkd {}", env!("CARGO_PKG_VERSION"));
        roff.control("TH", [name, section, "", &source]);
        let title = self
            .documents
            .iter()
            .find_map(|text| text.strip_prefix("# "));
        let purpose = title.and_then(|title| title.split(['\n', ':']).nth(1));
        let purpose = purpose.unwrap_or_default().trim();
        roff.control("SH", ["NAME"]);
        roff.text([roman(format!("{name} - {purpose}"))]);
        roff.control("SH", ["SYNOPSIS"]).text([bold(self.synopsis)]);
        roff.control("SH", ["DESCRIPTION"]);
        for (number, document) in self.documents.iter().enumerate() {
            let blocks = blocks(document);
            let is_section = |block: &Block| matches!(block, Block::Section(_));
            let first = blocks.iter().position(is_section).filter(|_| number > 0);
            write(&blocks[first.unwrap_or(0)..], &mut roff);
        }
        roff.control("SH", ["SEE ALSO"]);
        for (page, section) in SEE_ALSO.iter().filter(|(page, _)| *page != name) {
            roff.text([bold(*page), roman(format!("({section})"))]);
        }
        roff.control("PP", None);
        roff.text([roman("The documents in /usr/share/doc/uplinkd/docs.")]);
        roff.render()
    }
}

const SEE_ALSO: [(&str, u8); 4] = [
    ("uplinkd", 8),
    ("uplinkd.toml", 5),
    ("ip-route", 8),
    ("ip-rule", 8),
];

fn write(blocks: &[Block], roff: &mut Roff) {
    let mut is_list = false;
    for block in blocks {
        let is_item = matches!(block, Block::Item(_));
        if is_item != is_list {
            // Items stand close together.
            roff.control("PD", is_item.then_some("0"));
            is_list = is_item;
        }
        match block {
            Block::Section(title) if title.starts_with('[') => roff.control("SH", [&**title]),
            Block::Section(title) => roff.control("SH", [&*title.to_uppercase()]),
            Block::Subsection(title) => roff.control("SS", [&**title]),
            Block::Paragraph(text) => roff.control("PP", None).text(inlines(text)),
            Block::Item(text) => roff.control("IP", ["\\(bu", "2"]).text(inlines(text)),
            Block::Row(tag, text) => {
                roff.control("TP", None).text(inlines(tag));
                roff.text(inlines(text))
            }
            Block::Example(lines) => {
                roff.control("PP", None).control("RS", ["4"]);
                roff.control("nf", None);
                for line in lines {
                    roff.text([roman(line)]);
                }
                roff.control("fi", None).control("RE", None)
            }
        };
    }
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = document.lines();
    // What the next line may continue.
    let mut is_open = false;
    let mut is_head = true;
    while let Some(line) = lines.next() {
        let was_open = std::mem::replace(&mut is_open, false);
        let was_head = std::mem::replace(&mut is_head, true);
        if let Some(title) = line.strip_prefix("### ") {
            blocks.push(Block::Subsection(title.to_owned()));
        } else if let Some(title) = line.strip_prefix("## ") {
            blocks.push(Block::Section(title.to_owned()));
        } else if line.starts_with("```") {
            let example = lines.by_ref().take_while(|line| !line.starts_with("```"));
            blocks.push(Block::Example(example.map(str::to_owned).collect()));
        } else if let Some(row) = line.strip_prefix("| ") {
            is_head = false;
            // Above its rule a table has a head, which a list of tags does without.
            if !was_head && !row.starts_with("---") {
                blocks.push(table_row(row));
            }
        } else if let Some(item) = line.strip_prefix("- ") {
            blocks.push(Block::Item(item.to_owned()));
            is_open = true;
        } else if !line.is_empty() && !line.starts_with("# ") && !line.starts_with("<!--") {
            match blocks.last_mut() {
                Some(Block::Paragraph(text) | Block::Item(text)) if was_open => {
                    text.push(' ');
                    text.push_str(line.trim_start());
                }
                _ => blocks.push(Block::Paragraph(line.to_owned())),
            }
            is_open = true;
        }
    }
    blocks
}

fn table_row(row: &str) -> Block {
    let row = row.trim_end_matches('|').trim_end();
    let (tag, rest) = row.split_once(" | ").unwrap_or((row, ""));
    Block::Row(tag.to_owned(), rest.replace(" | ", "; "))
}

/// The text with its marks as typefaces: code and emphasis are bold, a link is its words.
fn inlines(text: &str) -> Vec<Inline> {
    let mut inlines = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['`', '*', '[']) {
        let (before, from) = rest.split_at(start);
        let Some((shown, after)) = marked(from) else {
            let next = start + 1;
            inlines.push(roman(&rest[..next]));
            rest = &rest[next..];
            continue;
        };
        inlines.push(roman(before));
        inlines.push(shown);
        rest = after;
    }
    inlines.push(roman(rest));
    inlines
}

/// What a text that begins with a mark shows up to the end of the mark, and what follows it.
fn marked(text: &str) -> Option<(Inline, &str)> {
    if let Some(code) = text.strip_prefix('`') {
        let (code, after) = code.split_once('`')?;
        Some((bold(code), after))
    } else if let Some(strong) = text.strip_prefix("**") {
        let (strong, after) = strong.split_once("**")?;
        Some((bold(strong), after))
    } else {
        let (words, after) = text.strip_prefix('[')?.split_once("](")?;
        let (_, after) = after.split_once(')')?;
        let words: String = words.chars().filter(|c| *c != '`').collect();
        Some((roman(words), after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_the_roff_that_shows_the_same() {
        let page = ManualPage {
            name: "x.toml",
            section: "5",
            synopsis: "x",
            documents: &[
                "# x.toml: a file\n\nOne `a-b`\ntwo.\n\n## [part]\n\n### part.key\n\n\
                          - Type: [word](a.md)\n  or **none**\n\n\
                          | key | meaning |\n| --- | --- |\n| `k` | what |\n\n\
                          ```toml\n.a = 1\n```\n",
            ],
        };
        let page = page.roff();
        let (_, body) = page.split_once(".SH NAME\n").expect("the name");
        let expected = ".SH SYNOPSIS\n\\fBx\\fR\n.SH DESCRIPTION\n.PP\nOne \\fBa\\-b\\fR two.\n.SH [part]\n.SS part.key\n.PD 0\n\
                        .IP \\(bu 2\nType: word or \\fBnone\\fR\n.PD\n.TP\n\\fBk\\fR\nwhat\n.PP\n.RS 4\n.nf\n\
                        \\&.a = 1\n.fi\n.RE\n";
        let (name, body) = body.split_once('\n').expect("a line");
        assert_eq!(name, "x.toml \\- a file");
        assert!(body.starts_with(expected), "{body}");
    }
}

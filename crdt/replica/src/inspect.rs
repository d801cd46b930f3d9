//! Looks over bytes that claim to be Automerge's before Automerge does.
//!
//! Automerge's checksums keep damage out, not malice: a few hundred bytes can ask for gigabytes by
//! deflate, or for 2^60 operations by one run-length. Here the frame, every count and every column is
//! walked with a budget, so that what is handed on costs at most a constant times its size.
//! Format: <https://automerge.org/automerge-binary-format-spec/>.

use std::io::Read;

/// Most bytes that all columns and changes of one blob may inflate to.
pub(crate) const MAX_INFLATED_BYTES: u64 = 64 * 1024 * 1024;
/// Most rows in any column of one blob: operations, changes, dependencies.
pub(crate) const MAX_ROWS: u64 = 1_000_000;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkKind {
    Document,
    Change,
}

/// One chunk of a blob, frame included.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: ChunkKind,
    pub(crate) bytes: &'a [u8],
}

/// Splits `blob` into its chunks, each looked over.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn chunks(blob: &[u8]) -> Result<Vec<Chunk<'_>>, &'static str> {
    walk(blob, Budget { inflated: MAX_INFLATED_BYTES, rows: MAX_ROWS })
}

fn walk(blob: &[u8], mut budget: Budget) -> Result<Vec<Chunk<'_>>, &'static str> {
    let mut rest = blob;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let mut input = Input(rest);
        if input.take(4)? != MAGIC {
            return Err("it has no Automerge chunk where one should begin");
        }
        input.take(4)?;
        let kind = input.take(1)?[0];
        let len = input.uleb()?;
        let body = input.take_u64(len)?;
        let kind = match kind {
            0 => {
                document(body, &mut budget)?;
                ChunkKind::Document
            }
            1 => {
                change(body, &mut budget)?;
                ChunkKind::Change
            }
            2 => {
                let inflated = budget.inflate(body)?;
                change(&inflated, &mut budget)?;
                ChunkKind::Change
            }
            _ => return Err("it has a chunk of a kind that is not carried"),
        };
        rest = input.0;
        chunks.push(Chunk { kind, bytes: &start[..start.len() - rest.len()] });
    }
    Ok(chunks)
}

fn document(body: &[u8], budget: &mut Budget) -> Result<(), &'static str> {
    let mut input = Input(body);
    input.skip_prefixed_list()?;
    let heads = input.count()?;
    input.take_u64(heads.saturating_mul(32))?;
    let change_columns = input.columns()?;
    let op_columns = input.columns()?;
    for (spec, len) in change_columns.into_iter().chain(op_columns) {
        let data = input.take_u64(len)?;
        column(spec, data, budget)?;
    }
    Ok(())
}

fn change(body: &[u8], budget: &mut Budget) -> Result<(), &'static str> {
    let mut input = Input(body);
    let deps = input.count()?;
    input.take_u64(deps.saturating_mul(32))?;
    input.skip_prefixed()?; // actor
    input.uleb()?; // sequence number
    if input.uleb()? > MAX_OP_COUNTER {
        return Err("its operation counter is beyond any honest document's");
    }
    input.uleb()?; // time: signed, but as long
    input.skip_prefixed()?; // message
    input.skip_prefixed_list()?; // other actors
    for (spec, len) in input.columns()? {
        let data = input.take_u64(len)?;
        column(spec, data, budget)?;
    }
    Ok(())
}

/// Highest operation counter taken from outside: a peer that jumps ahead must not use up the range.
pub(crate) const MAX_OP_COUNTER: u64 = 1 << 30;

fn column(spec: u64, data: &[u8], budget: &mut Budget) -> Result<(), &'static str> {
    const DEFLATED: u64 = 0b1000;
    if spec & DEFLATED != 0 {
        let inflated = budget.inflate(data)?;
        return rows(spec & 0b111, &inflated, budget);
    }
    rows(spec & 0b111, data, budget)
}

/// Counts the rows of a column of `kind` without making them.
fn rows(kind: u64, data: &[u8], budget: &Budget) -> Result<(), &'static str> {
    let mut input = Input(data);
    let mut total: u64 = 0;
    let mut grouped: u64 = 0;
    let mut add = |n: u64| {
        total = total.saturating_add(n);
        if total > budget.rows { Err("it has more rows than any honest document") } else { Ok(()) }
    };
    match kind {
        // Raw values: as many bytes as are there.
        7 => {}
        // Booleans: alternating run lengths.
        4 => {
            while !input.0.is_empty() {
                add(input.uleb()?)?;
            }
        }
        // Everything else is run-length encoded; strings are preceded by their length.
        _ => {
            while !input.0.is_empty() {
                let run = input.sleb()?;
                let (repeats, values) = match run {
                    0 => (input.uleb()?, 0),
                    1.. => (run.unsigned_abs(), 1),
                    _ => (1, run.unsigned_abs()),
                };
                add(repeats.saturating_mul(values.max(1)))?;
                for _ in 0..values {
                    match kind {
                        5 => input.skip_prefixed()?,
                        // A group's value is how many rows belong to it.
                        0 => {
                            let group = input.uleb()?.saturating_mul(repeats);
                            grouped = grouped.saturating_add(group);
                            if grouped > budget.rows {
                                return Err("it has more grouped rows than any honest document");
                            }
                        }
                        _ => {
                            input.uleb()?;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

struct Budget {
    inflated: u64,
    rows: u64,
}

impl Budget {
    fn inflate(&mut self, data: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        flate2::read::DeflateDecoder::new(data)
            .take(self.inflated + 1)
            .read_to_end(&mut out)
            .map_err(|_| "a compressed part of it is damaged")?;
        self.inflated = self
            .inflated
            .checked_sub(out.len() as u64)
            .ok_or("it inflates to more than any honest document")?;
        Ok(out)
    }
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

const TRUNCATED: &str = "it ends in the middle";

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], &'static str> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(TRUNCATED)?;
        self.0 = tail;
        Ok(head)
    }

    fn take_u64(&mut self, n: u64) -> Result<&'a [u8], &'static str> {
        self.take(usize::try_from(n).map_err(|_| TRUNCATED)?)
    }

    /// An unsigned LEB128 number. A signed one of the same bytes is as long.
    fn uleb(&mut self) -> Result<u64, &'static str> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("it has a number that does not end")
    }

    fn sleb(&mut self) -> Result<i64, &'static str> {
        let before = self.0;
        let value = self.uleb()?;
        let len = before.len() - self.0.len();
        let bits = u32::try_from(len * 7).unwrap_or(u32::MAX);
        let negative = before[len - 1] & 0x40 != 0;
        let extension = u64::MAX.checked_shl(bits).filter(|_| negative).unwrap_or(0);
        Ok((value | extension).cast_signed())
    }

    /// A count of things that take at least a byte each.
    fn count(&mut self) -> Result<u64, &'static str> {
        let n = self.uleb()?;
        if n > self.0.len() as u64 { Err(TRUNCATED) } else { Ok(n) }
    }

    fn skip_prefixed(&mut self) -> Result<(), &'static str> {
        let len = self.uleb()?;
        self.take_u64(len).map(|_| ())
    }

    fn skip_prefixed_list(&mut self) -> Result<(), &'static str> {
        for _ in 0..self.count()? {
            self.skip_prefixed()?;
        }
        Ok(())
    }

    /// The specification and length of each column.
    fn columns(&mut self) -> Result<Vec<(u64, u64)>, &'static str> {
        (0..self.count()?).map(|_| Ok((self.uleb()?, self.uleb()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut blob = MAGIC.to_vec();
        blob.extend([0, 0, 0, 0, kind]);
        let mut n = body.len();
        while n > 0x7f {
            blob.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        blob.push(n as u8);
        blob.extend(body);
        blob
    }

    fn change_with(columns: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 1, 0xaa, 1, 1, 0, 0, 0];
        body.extend(columns);
        frame(1, &body)
    }

    #[test]
    fn a_deflate_bomb_is_refused_before_it_is_inflated_whole() {
        let zeros = vec![0; 1_000_001];
        let mut bomb = Vec::new();
        flate2::read::DeflateEncoder::new(&zeros[..], flate2::Compression::fast())
            .read_to_end(&mut bomb)
            .expect("deflate");
        assert!(bomb.len() < 20_000, "{}", bomb.len());
        let budget = |inflated| Budget { inflated, rows: MAX_ROWS };
        let refused = walk(&frame(2, &bomb), budget(1_000_000)).expect_err("a bomb");
        assert!(refused.contains("inflates"), "{refused}");
        let twice = [frame(2, &bomb[..]), frame(2, &bomb[..])].concat();
        assert!(walk(&twice, budget(1_000_001)).is_err(), "the budget is the whole blob's");
    }

    #[test]
    fn a_run_length_bomb_is_refused() {
        // One column (spec 0x42: integers) of one run of 2^40 ones; and one of as many nulls.
        let run = [0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0x01];
        let mut columns = vec![1, 0x42, run.len() as u8];
        columns.extend(run);
        assert!(chunks(&change_with(&columns)).expect_err("a bomb").contains("rows"));
        let nulls = [0x00, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
        let mut columns = vec![1, 0x42, nulls.len() as u8];
        columns.extend(nulls);
        assert!(chunks(&change_with(&columns)).expect_err("a bomb").contains("rows"));
        let group = [0x01, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
        let mut columns = vec![1, 0x70, group.len() as u8];
        columns.extend(group);
        assert!(chunks(&change_with(&columns)).expect_err("a bomb").contains("grouped"));
        assert_eq!(chunks(&change_with(&[1, 0x42, 2, 3, 1])).expect("three ones").len(), 1);
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused_before_it_is_allocated() {
        let mut body = vec![0xff; 9];
        body.push(0x01);
        for kind in 0..=1 {
            assert_eq!(chunks(&frame(kind, &body)).expect_err("a lie"), TRUNCATED);
        }
        assert!(chunks(&frame(3, &[])).is_err(), "bundles are not carried");
    }

    #[test]
    fn signed_numbers_are_read_like_the_format_says() {
        for (bytes, value) in
            [(&[0x7f][..], -1), (&[0x40], -64), (&[0x3f], 63), (&[0xc0, 0x00], 64), (&[0], 0)]
        {
            assert_eq!(Input(bytes).sleb(), Ok(value));
        }
    }
}

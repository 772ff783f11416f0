//! A feature's faults as they are stored with the model's state.

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::decide::fault::FaultKind;
use crate::decide::fault::Finding;
use crate::decide::fault::share::Part;
use crate::decide::fault::track::Active;
use crate::decide::fault::track::Quiet;
use crate::decide::fault::track::Run;
use crate::decide::fault::track::STRETCHES;
use crate::decide::fault::track::Track;

impl Track {
    pub(crate) fn encode(&self, out: &mut Writer) {
        out.u64(u64::from(self.seen));
        out.u64(self.varied);
        out.u64(self.still);
        out.i64(self.block_from_ms);
        out.f64(self.log_evidence);
        out.u64(u64::from(self.run.is_some()));
        if let Some(run) = &self.run {
            out.u64(run.cell as u64);
            write_number(out, run.value);
            out.u64(run.values);
            out.u64(run.looks);
            out.i64(run.from_ms);
        }
        out.u64(self.stretches.len() as u64);
        for (from, to) in &self.stretches {
            out.i64(*from);
            out.i64(*to);
        }
        out.u64(u64::from(self.active.is_some()));
        if let Some(active) = &self.active {
            active.encode(out);
        }
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let mut track = Self {
            seen: input.u64()? != 0,
            varied: input.u64()?,
            still: input.u64()?,
            block_from_ms: input.i64()?,
            log_evidence: input.f64()?,
            ..Self::default()
        };
        if input.u64()? != 0 {
            track.run = Some(Run {
                cell: input.len_at_most(usize::MAX)?,
                value: read_number(input)?,
                values: input.u64()?,
                looks: input.u64()?,
                from_ms: input.i64()?,
            });
        }
        for _ in 0..input.len_at_most(STRETCHES)? {
            track.stretches.push((input.i64()?, input.i64()?));
        }
        if input.u64()? != 0 {
            track.active = Some(Active::decode(input)?);
        }
        Ok(track)
    }
}

impl Active {
    fn encode(&self, out: &mut Writer) {
        let Finding { kind, records, share, expected, number } = self.finding;
        out.u64(position(kind));
        out.u64(self.other.map_or(0, |other| position(other) + 1));
        out.u64(records);
        out.f64(share);
        out.f64(expected);
        write_number(out, number);
        out.i64(self.since_ms);
        out.i64(self.from_ms);
        out.u64(self.looks);
        for flag in [self.accepted, self.told, self.told_old, self.quiet.is_some()] {
            out.u64(u64::from(flag));
        }
        if let Some(quiet) = &self.quiet {
            out.u64(quiet.looks);
            out.u64(quiet.part.k);
            out.u64(quiet.part.n);
            out.i64(quiet.first_end_ms);
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let kind = input.len_at_most(FaultKind::ALL.len() - 1)?;
        let other = input.len_at_most(FaultKind::ALL.len())?.checked_sub(1);
        let other = other.map(|other| FaultKind::ALL[other]);
        let finding = Finding {
            kind: FaultKind::ALL[kind],
            records: input.u64()?,
            share: input.f64()?,
            expected: input.f64()?,
            number: read_number(input)?,
        };
        let (since_ms, from_ms, looks) = (input.i64()?, input.i64()?, input.u64()?);
        let mut flag = || Ok::<bool, Truncated>(input.u64()? != 0);
        let (accepted, told, told_old, is_quiet) = (flag()?, flag()?, flag()?, flag()?);
        let mut active = Self {
            finding,
            since_ms,
            from_ms,
            looks,
            accepted,
            told,
            told_old,
            other,
            quiet: None,
        };
        if is_quiet {
            let (looks, k, n) = (input.u64()?, input.u64()?, input.u64()?);
            active.quiet = Some(Quiet { looks, part: Part { k, n }, first_end_ms: input.i64()? });
        }
        Ok(active)
    }
}

/// In `FaultKind::ALL`, which is how it is stored.
fn position(kind: FaultKind) -> u64 {
    FaultKind::ALL.iter().take_while(|of| **of != kind).count() as u64
}

fn write_number(out: &mut Writer, number: Option<f64>) {
    out.u64(u64::from(number.is_some()));
    out.f64(number.unwrap_or_default());
}

fn read_number(input: &mut Reader<'_>) -> Result<Option<f64>, Truncated> {
    let is_some = input.u64()? != 0;
    let number = input.f64()?;
    Ok(is_some.then_some(number))
}

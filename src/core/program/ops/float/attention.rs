//! Self-attention of projected rows.

use super::super::super::dims::Known;
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value, text};
use super::super::check_floats;
use super::mask_rows;
use crate::error::{Error, Result};
use crate::float::{self, Mask};

/// Self-attention of rows that hold queries, keys and values, `sequences x length x (3 * width)`; the second source is
/// added to scores.
#[derive(Debug)]
pub struct Attention {
    /// How many heads share the width.
    pub heads: usize,
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        check_floats(x)?;
        let heads = self.heads;
        let &[sequences, length, wide] = &x.shape[..] else {
            return Err(Error::value("input", text(&x.shape), "of shape (N, L, 3 * E)"));
        };
        if heads == 0 || wide == 0 || !wide.is_multiple_of(3 * heads) {
            let valid = format!("at least 1, and divide a third of the rows, which are {wide} long");
            return Err(Error::value("heads", heads, valid));
        }
        let width = wide / 3 / heads;
        let scores = [sequences, heads, length, length];
        let mut needs = vec![Need::contiguous(x)];
        let mut steps = None;
        if let Some(mask) = from.get(1) {
            let (need, own) = mask_rows(mask, &scores, 3)?;
            needs.push(need);
            steps = Some(own);
        }
        let made = Value::new(Type::F32, vec![sequences, length, wide / 3]);
        let work = 8 * sequences * length * heads * (length + 4 * width);
        let factor = 1.0 / (width as f32).sqrt();
        let run = move |io: Io<'_>| {
            let mask = steps.as_ref().map(|steps| Mask::new(io.from[1].floats(), &scores[..3], steps));
            let of = float::Attention { sequences, length, heads, width, factor, mask };
            match float::self_attention(&of, io.from[0].floats(), io.to.floats())? {
                true => Ok(()),
                false => Err(Error::value("input", "an infinity or NaN", "finite").into()),
            }
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, images: &[bool]) -> Option<bool> {
        let own = |mask: &&Value| mask.shape.len() == 4;
        let shared = |mask: &&Value| mask.shape.len() < 4 || mask.shape[0] == 1;
        let mask = from.get(1).is_none_or(|mask| if images[1] { own(mask) } else { shared(mask) });
        (images[0] && mask).then_some(true)
    }
}

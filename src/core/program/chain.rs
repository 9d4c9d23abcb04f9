//! Functions of single elements, one after the other: what a step makes of each element the next one takes at once, so
//! that values between them never leave the caches.
//!
//! Elements are counted in the result's order of memory. A chain goes over them a tile at a time; each link makes a tile
//! from tiles of sources, and of links before it. A step by itself is a chain of one link.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use super::lie::{Lie, spread};
use super::memory::{Memory, Room};
use super::value::{Kind, Value};
use crate::arch::{Lines, slots};
use crate::error::Stopped;
use crate::gemm::Floats;
use crate::threads;

/// Makes elements from as many of each source, or from one that stands for all.
pub type Tile = dyn Fn(&[Memory<'_>], Room<'_>) + Send + Sync;

/// What a link takes.
#[derive(Debug, Clone, Copy)]
enum From {
    Source(usize),
    Link(usize),
}

#[derive(Clone)]
struct Link {
    run: Arc<Tile>,
    from: Vec<From>,
    kind: Kind,
}

/// Links, the last of which makes the value.
#[derive(Clone)]
pub struct Chain {
    len: usize,
    sources: Vec<(Lie, Kind)>,
    links: Vec<Link>,
}

/// Bytes that the tiles of all sources and links may take: less than any first cache.
const CACHED: usize = 24 << 10;
/// Elements of a tile.
const TILE: std::ops::RangeInclusive<usize> = 256..=4096;
/// Tiles end where such long runs do, so that each source is one run, or one element, in them.
const LONG: usize = 256;
/// More links, or sources, do not fit the caches.
const MOST: usize = 16;

impl Chain {
    /// Of one link, from values that broadcast to a dense one.
    pub(super) fn new(from: &[&Value], made: &Value, run: Arc<Tile>) -> Self {
        let sources = from.iter().map(|x| (Lie::of(x, made), x.ty.kind())).collect();
        let from = (0..from.len()).map(From::Source).collect();
        Self { len: made.len(), sources, links: vec![Link { run, from, kind: made.ty.kind() }] }
    }

    /// Whether a source is there element for element.
    pub(super) fn takes(&self, source: usize) -> bool {
        self.sources[source].0 == Lie::Same
    }

    /// Whether it makes so many floats.
    pub(super) fn makes_floats(&self, count: usize) -> bool {
        self.len == count && self.links.last().is_some_and(|link| link.kind == Kind::F32)
    }

    /// Whether both fit into one.
    pub(super) fn fits(&self, before: &Self) -> bool {
        let small = |n: usize, m: usize| n + m <= MOST;
        self.len == before.len
            && small(self.links.len(), before.links.len())
            && small(self.sources.len(), before.sources.len())
    }

    /// One chain, with what `before` makes in the place of some sources: those that are left come first, then those of
    /// `before`.
    pub(super) fn after(&self, before: &Self, replaced: &[bool]) -> Self {
        let kept: Vec<usize> = (0..self.sources.len()).filter(|&k| !replaced[k]).collect();
        let mut sources: Vec<_> = kept.iter().map(|&k| self.sources[k].clone()).collect();
        let (shift, count) = (sources.len(), before.links.len());
        sources.extend(before.sources.iter().cloned());
        let mut links = before.links.clone();
        for link in &mut links {
            for from in &mut link.from {
                if let From::Source(k) = from {
                    *k += shift;
                }
            }
        }
        for link in &self.links {
            let from = link.from.iter().map(|&from| match from {
                From::Source(k) if replaced[k] => From::Link(count - 1),
                From::Source(k) => From::Source(kept.iter().position(|&own| own == k).unwrap_or_default()),
                From::Link(i) => From::Link(i + count),
            });
            links.push(Link { from: from.collect(), ..link.clone() });
        }
        Self { len: self.len, sources, links }
    }

    /// Elements of a row, which a tile does not reach beyond, and of a tile.
    fn cut(&self) -> (usize, usize) {
        let row = self.sources.iter().map(|(lie, _)| lie.run(self.len)).min().unwrap_or(self.len).max(1);
        let row = if row >= LONG { row } else { self.len.max(1) };
        let is_spread = |(lie, _): &(Lie, Kind)| matches!(lie, Lie::Spread(_));
        if self.links.len() == 1 && !self.sources.iter().any(is_spread) {
            return (row, self.len.max(1));
        }
        let source = |(lie, kind): &(Lie, Kind)| if *lie == Lie::One { 0 } else { kind.size() };
        let each = self.sources.iter().map(source).sum::<usize>()
            + self.links.iter().map(|link| link.kind.size()).sum::<usize>();
        let tile = (CACHED / each).clamp(*TILE.start(), *TILE.end());
        (row, tile)
    }

    /// Bytes that are read and written in as much time as all of it takes.
    fn work(&self) -> usize {
        let size = self.links.last().map_or(1, |link| link.kind.size());
        (self.sources.len() + 1) * self.len * size.max(4) + 4 * self.len * self.links.len()
    }

    /// What it makes of these, as floats that are made where they are wanted.
    pub(super) fn of<'a>(&'a self, from: &'a [Memory<'a>]) -> Made<'a> {
        Made { chain: self, from, cut: self.cut() }
    }

    /// Makes the value.
    pub(super) fn run(&self, from: &[Memory<'_>], to: Room<'_>) -> Result<(), Stopped> {
        let ((row, tile), bytes) = (self.cut(), self.work());
        let piece = (threads::CHUNK_BYTES * self.len.max(1) / bytes.max(1)).max(LONG);
        // A piece is whole tiles, or whole rows.
        let piece = if piece > row { piece / row * row } else { piece.next_multiple_of(64) };
        macro_rules! kinds {
            ($($kind:ident),*) => {
                match to {
                    $(Room::$kind(to) => {
                        threads::for_each(bytes, to.chunks_mut(piece).enumerate(), |(i, to)| {
                            self.piece(from, i * piece, Room::$kind(to), (row, tile));
                            true
                        })
                    })*
                }
            };
        }
        kinds!(U8, I8, F32, I32, I64, Bool)
    }

    /// The elements from one on.
    fn piece(&self, from: &[Memory<'_>], first: usize, mut to: Room<'_>, (row, tile): (usize, usize)) {
        thread_local! {
            static TILES: RefCell<Vec<Lines>> = const { RefCell::new(Vec::new()) };
        }
        // What a link runs may itself be a chain's piece on this thread: it then finds none, and makes its own.
        let mut tiles = TILES.take();
        let count = self.sources.len() + self.links.len();
        tiles.resize_with(tiles.len().max(count), || Lines::zeros(0));
        for lines in &mut tiles[..count] {
            if lines.bytes().len() < 8 * TILE.end() {
                *lines = Lines::zeros(8 * TILE.end());
            }
        }
        let (mut at, end) = (first, first + to.len());
        while at < end {
            let n = tile.min(row - at % row).min(end - at);
            let (own, rest) = to.split(n);
            self.tile(from, at, n, own, &mut tiles);
            (at, to) = (at + n, rest);
        }
        TILES.set(tiles);
    }

    fn tile(&self, from: &[Memory<'_>], at: usize, n: usize, to: Room<'_>, tiles: &mut [Lines]) {
        let (own, made) = tiles.split_at_mut(self.sources.len());
        let mut sources = [Memory::EMPTY; MOST];
        for (((lie, kind), memory), (source, lines)) in
            self.sources.iter().zip(from).zip(sources.iter_mut().zip(own))
        {
            *source = match lie {
                Lie::Same => memory.from(at).first(n),
                Lie::One => memory.first(1),
                Lie::Spread(axes) => spread(*memory, axes, at, n, *kind, lines),
            };
        }
        let last = self.links.len() - 1;
        for (i, link) in self.links[..last].iter().enumerate() {
            let (before, rest) = made.split_at_mut(i);
            let room = &mut rest[0].unsigned_mut()[..n * link.kind.size()];
            self.link(link, &sources, before, n, Room::of(link.kind, room));
        }
        self.link(&self.links[last], &sources, made, n, to);
    }

    fn link(&self, link: &Link, sources: &[Memory<'_>], made: &[Lines], n: usize, to: Room<'_>) {
        let mut taken = [Memory::EMPTY; 4];
        for (to, from) in taken.iter_mut().zip(&link.from) {
            *to = match *from {
                From::Source(k) => sources[k],
                From::Link(i) => {
                    let kind = self.links[i].kind;
                    let bytes: &[u8] = bytemuck::cast_slice(made[i].bytes());
                    Memory::of(kind, &bytes[..n * kind.size()])
                }
            };
        }
        (link.run)(&taken[..link.from.len()], to);
    }
}

/// Floats of a chain.
pub(super) struct Made<'a> {
    chain: &'a Chain,
    from: &'a [Memory<'a>],
    cut: (usize, usize),
}

impl Floats for Made<'_> {
    fn count(&self) -> usize {
        self.chain.len
    }

    fn get<'a>(&'a self, range: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
        room.resize(range.len(), 0.0);
        self.chain.piece(self.from, range.start, Room::F32(slots(room)), self.cut);
        room
    }

    fn work(&self) -> usize {
        self.chain.work()
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({} links)", self.links.len())
    }
}

//! Reads the kernel's BTF far enough to tell where a structure's member is. Pure, and safe with any bytes.
//!
//! The format: Documentation/bpf/btf.rst. aya's own reader does not show members.
#![forbid(unsafe_code)]

/// Why bytes are not BTF.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// The header is not one.
    #[error("it does not start like BTF of this machine")]
    Header,
    /// A type is of a kind that this program does not know.
    #[error("type {id} is of the unknown kind {kind}")]
    Kind {
        /// The type's number.
        id: usize,
        /// What stands there.
        kind: u32,
    },
    /// A type reaches past the end.
    #[error("type {id} reaches past the end")]
    Truncated {
        /// The type's number.
        id: usize,
    },
}

/// The types of a kernel.
pub(super) struct Btf<'a> {
    strings: &'a [u8],
    types: &'a [u8],
    /// Where each type starts in `types`. The type 0 is void and does not stand there.
    starts: Vec<u32>,
}

/// Where a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// In bytes from the start of the outermost structure.
    pub(super) offset: u32,
    /// In bytes; 0 for a bit field and for what has no size of its own.
    pub(super) size: u32,
}

/// Kinds of `include/uapi/linux/btf.h`.
pub(super) mod kind {
    pub(in crate::probe) const INT: u32 = 1;
    pub(in crate::probe) const PTR: u32 = 2;
    pub(in crate::probe) const ARRAY: u32 = 3;
    pub(in crate::probe) const STRUCT: u32 = 4;
    pub(in crate::probe) const UNION: u32 = 5;
    pub(in crate::probe) const ENUM: u32 = 6;
    pub(in crate::probe) const FWD: u32 = 7;
    pub(in crate::probe) const TYPEDEF: u32 = 8;
    pub(in crate::probe) const VOLATILE: u32 = 9;
    pub(in crate::probe) const CONST: u32 = 10;
    pub(in crate::probe) const RESTRICT: u32 = 11;
    pub(in crate::probe) const FUNC: u32 = 12;
    pub(in crate::probe) const FUNC_PROTO: u32 = 13;
    pub(in crate::probe) const VAR: u32 = 14;
    pub(in crate::probe) const DATASEC: u32 = 15;
    pub(in crate::probe) const FLOAT: u32 = 16;
    pub(in crate::probe) const DECL_TAG: u32 = 17;
    pub(in crate::probe) const TYPE_TAG: u32 = 18;
    pub(in crate::probe) const ENUM64: u32 = 19;
}

const MAGIC: u16 = 0xeb9f;
/// `struct btf_type` without what follows it.
const TYPE_LEN: usize = 12;
/// `struct btf_member`
const MEMBER_LEN: usize = 12;
/// `struct btf_param`
const PARAM_LEN: usize = 8;
/// How deep types are followed: deeper is a loop.
const MAX_DEPTH: u32 = 16;

/// A `struct btf_type`, with what follows it.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    info: u32,
    /// A size or a type, by kind.
    size_or_type: u32,
    rest: &'a [u8],
}

impl Type<'_> {
    fn kind(&self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn vlen(&self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Bytes after the type itself (`btf_type_size` in tools/lib/bpf/btf.c).
    fn rest_len(&self) -> Option<usize> {
        Some(match self.kind() {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION => self.vlen() * MEMBER_LEN,
            kind::ENUM | kind::FUNC_PROTO => self.vlen() * 8,
            kind::DATASEC | kind::ENUM64 => self.vlen() * 12,
            kind::PTR | kind::FWD | kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT => 0,
            kind::FUNC | kind::FLOAT | kind::TYPE_TAG => 0,
            _ => return None,
        })
    }
}

impl<'a> Btf<'a> {
    /// Takes the bytes of `/sys/kernel/btf/vmlinux`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Btf<'a>, BtfError> {
        let (strings, types) = sections(bytes).ok_or(BtfError::Header)?;
        let mut btf = Btf { strings, types, starts: Vec::new() };
        let mut at = 0;
        while at < types.len() {
            let id = btf.starts.len() + 1;
            let found = type_at(types, at).ok_or(BtfError::Truncated { id })?;
            let rest_len = found.rest_len().ok_or(BtfError::Kind { id, kind: found.kind() })?;
            if found.rest.len() < rest_len {
                return Err(BtfError::Truncated { id });
            }
            btf.starts.push(u32::try_from(at).map_err(|_| BtfError::Header)?);
            at += TYPE_LEN + rest_len;
        }
        Ok(btf)
    }

    /// Finds a member of a structure by its path, such as `se.sum_exec_runtime`. Members of unnamed structures inside
    /// count as the structure's own, as in C. `None` if there is no such structure or member.
    pub(super) fn member(&self, structure: &str, path: &str) -> Option<Member> {
        self.named(kind::STRUCT, structure).find_map(|found| self.member_of(found, path))
    }

    /// Size of a structure in bytes.
    pub(super) fn size_of(&self, structure: &str) -> Option<u32> {
        self.named(kind::STRUCT, structure).next().map(|found| found.size_or_type)
    }

    /// Of the arguments of a tracepoint, which ones are pointers. `None` if there is no such tracepoint.
    pub(super) fn tracepoint(&self, name: &str) -> Option<Vec<bool>> {
        let typedef = self.named(kind::TYPEDEF, &format!("btf_trace_{name}")).next()?;
        let pointer = self.resolve(typedef.size_or_type)?;
        let prototype = self.resolve(pointer.size_or_type).filter(|found| found.kind() == kind::FUNC_PROTO)?;
        let parameters = prototype.rest.get(..prototype.vlen() * PARAM_LEN)?.chunks_exact(PARAM_LEN);
        // The first one is the program's own context.
        let is_pointer = |parameter| Some(self.resolve(word(parameter, 4)?)?.kind() == kind::PTR);
        parameters.skip(1).map(is_pointer).collect()
    }

    /// Whether there is a function of this name that a program can be attached to.
    pub(super) fn has_function(&self, name: &str) -> bool {
        self.named(kind::FUNC, name).next().is_some()
    }

    /// Whether there is a variable of this name. Kernels tell of those that each CPU has one of.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.named(kind::VAR, name).next().is_some()
    }

    fn member_of(&self, mut structure: Type<'a>, path: &str) -> Option<Member> {
        let mut offset = 0;
        let mut size = 0;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let (bits, bit_size, id) = self.direct_member(structure, name, 0)?;
            if bits % 8 != 0 {
                return None;
            }
            offset += bits / 8;
            if names.peek().is_some() {
                structure = self.resolve(id)?;
            } else {
                size = if bit_size != 0 { 0 } else { self.size(id) };
            }
        }
        Some(Member { offset, size })
    }

    /// Offset in bits, width of a bit field (0 for others) and type of a member.
    fn direct_member(&self, structure: Type<'a>, name: &str, depth: u32) -> Option<(u32, u32, u32)> {
        if !matches!(structure.kind(), kind::STRUCT | kind::UNION) || depth > MAX_DEPTH {
            return None;
        }
        // With the kind flag the upper byte is the width of a bit field.
        let bit_fields = structure.info >> 31 == 1;
        for member in structure.rest.get(..structure.vlen() * MEMBER_LEN)?.chunks_exact(MEMBER_LEN) {
            let (member_name, id, place) = (word(member, 0)?, word(member, 4)?, word(member, 8)?);
            let (bits, width) = if bit_fields { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
            if self.is_string(member_name, name) {
                return Some((bits, width, id));
            }
            if self.is_string(member_name, "")
                && let Some(inner) = self.resolve(id)
                && let Some((inner_bits, width, id)) = self.direct_member(inner, name, depth + 1)
            {
                return Some((bits.checked_add(inner_bits)?, width, id));
            }
        }
        None
    }

    /// The type with this number, past typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<Type<'a>> {
        for _ in 0..MAX_DEPTH {
            let found = self.get(id)?;
            match found.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = found.size_or_type;
                }
                _ => return Some(found),
            }
        }
        None
    }

    fn size(&self, id: u32) -> u32 {
        match self.resolve(id) {
            Some(found) if found.kind() == kind::PTR => size_of::<usize>() as u32,
            Some(found) => match found.kind() {
                kind::INT | kind::ENUM | kind::ENUM64 | kind::STRUCT | kind::UNION | kind::FLOAT => found.size_or_type,
                _ => 0,
            },
            None => 0,
        }
    }

    fn get(&self, id: u32) -> Option<Type<'a>> {
        let start = *self.starts.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
        type_at(self.types, start as usize)
    }

    fn named(&self, kind: u32, name: &str) -> impl Iterator<Item = Type<'a>> {
        self.starts
            .iter()
            .filter_map(|start| type_at(self.types, *start as usize))
            .filter(move |found| found.kind() == kind && self.is_string(found.name, name))
    }

    /// Whether the string at an offset is this one.
    fn is_string(&self, offset: u32, wanted: &str) -> bool {
        let Some(tail) = self.strings.get(offset as usize..) else { return false };
        tail.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// The sections of strings and types.
fn sections(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.get(..2)? != MAGIC.to_ne_bytes() {
        return None;
    }
    let body = bytes.get(word(bytes, 4)? as usize..)?;
    let section = |at| -> Option<&[u8]> {
        let (offset, len) = (word(bytes, at)? as usize, word(bytes, at + 4)? as usize);
        body.get(offset..offset.checked_add(len)?)
    };
    Some((section(16)?, section(8)?))
}

fn type_at(types: &[u8], at: usize) -> Option<Type<'_>> {
    let bytes = types.get(at..)?;
    Some(Type {
        name: word(bytes, 0)?,
        info: word(bytes, 4)?,
        size_or_type: word(bytes, 8)?,
        rest: bytes.get(TYPE_LEN..)?,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const INFO_FLAG: u32 = 1 << 31;

    /// Puts types together, the way pahole does.
    #[derive(Default)]
    pub(in crate::probe) struct Builder {
        strings: Vec<u8>,
        types: Vec<u8>,
        count: u32,
    }

    impl Builder {
        fn string(&mut self, text: &str) -> u32 {
            if self.strings.is_empty() {
                self.strings.push(0);
            }
            if text.is_empty() {
                return 0;
            }
            let at = self.strings.len() as u32;
            self.strings.extend(text.as_bytes());
            self.strings.push(0);
            at
        }

        pub(in crate::probe) fn add(
            &mut self,
            name: &str,
            kind: u32,
            flag_and_vlen: u32,
            size_or_type: u32,
            rest: &[u32],
        ) -> u32 {
            let name = self.string(name);
            for word in [name, kind << 24 | flag_and_vlen, size_or_type].iter().chain(rest) {
                self.types.extend(word.to_ne_bytes());
            }
            self.count += 1;
            self.count
        }

        pub(in crate::probe) fn structure(
            &mut self,
            name: &str,
            kind: u32,
            size: u32,
            flag: u32,
            members: &[(&str, u32, u32)],
        ) -> u32 {
            let rest: Vec<u32> = members.iter().flat_map(|&(name, id, place)| [self.string(name), id, place]).collect();
            self.add(name, kind, flag | members.len() as u32, size, &rest)
        }

        pub(in crate::probe) fn bytes(&self) -> Vec<u8> {
            let mut bytes = MAGIC.to_ne_bytes().to_vec();
            bytes.extend([1, 0]);
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            for word in [24, 0, types, types, strings] {
                bytes.extend(word.to_ne_bytes());
            }
            bytes.extend(&self.types);
            bytes.extend(&self.strings);
            bytes
        }
    }

    impl Builder {
        /// A tracepoint's prototype, with the types of its arguments.
        pub(in crate::probe) fn tracepoint(&mut self, name: &str, arguments: &[u32]) {
            let context = self.add("", kind::PTR, 0, 0, &[]);
            let parameters: Vec<u32> = [context].iter().chain(arguments).flat_map(|&id| [0, id]).collect();
            let prototype = self.add("", kind::FUNC_PROTO, parameters.len() as u32 / 2, 0, &parameters);
            let pointer = self.add("", kind::PTR, 0, prototype, &[]);
            self.add(&format!("btf_trace_{name}"), kind::TYPEDEF, 0, pointer, &[]);
        }
    }

    fn sample() -> Vec<u8> {
        let mut types = Builder::default();
        let int = types.add("int", kind::INT, 0, 4, &[32]);
        let long = types.add("u64", kind::INT, 0, 8, &[64]);
        let constant = types.add("", kind::CONST, 0, long, &[]);
        let alias = types.add("alias", kind::TYPEDEF, 0, constant, &[]);
        let entity = types.structure("entity", kind::STRUCT, 16, 0, &[("pad", long, 0), ("sum", alias, 64)]);
        let union = types.structure("", kind::UNION, 8, 0, &[("left", long, 0), ("right", int, 0)]);
        let inner = types.structure("", kind::STRUCT, 16, 0, &[("", union, 0), ("deep", int, 64)]);
        types.structure("task", kind::STRUCT, 99, 0, &[("other", int, 0)]);
        types.structure(
            "task",
            kind::STRUCT,
            48,
            INFO_FLAG,
            &[("se", entity, 64), ("", inner, 192), ("bit", int, 3 << 24 | 320), ("odd", int, 1 << 24 | 323)],
        );
        let pointer = types.add("", kind::PTR, 0, entity, &[]);
        types.tracepoint("event", &[pointer, alias]);
        types.bytes()
    }

    #[test]
    fn members() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        let at = |offset, size| Some(Member { offset, size });
        assert_eq!(btf.member("task", "se.sum"), at(16, 8));
        assert_eq!(btf.member("task", "right"), at(24, 4), "through two unnamed ones");
        assert_eq!(btf.member("task", "deep"), at(32, 4));
        assert_eq!(btf.member("task", "other"), at(0, 4), "another structure of that name");
        assert_eq!(btf.member("task", "bit"), at(40, 0), "a bit field has no size");
        assert_eq!(btf.member("task", "odd"), None, "not at a byte");
        assert_eq!(btf.member("task", "se.none"), None);
        assert_eq!(btf.member("task", "se.sum.more"), None);
        assert_eq!(btf.member("tas", "se"), None);
        assert_eq!(btf.size_of("entity"), Some(16));
        assert_eq!(btf.tracepoint("event"), Some(vec![true, false]));
        assert_eq!(btf.tracepoint("other"), None);
    }

    #[test]
    fn a_loop_of_types_ends() {
        let mut types = Builder::default();
        types.add("a", kind::TYPEDEF, 0, 2, &[]);
        types.add("b", kind::TYPEDEF, 0, 1, &[]);
        types.structure("s", kind::STRUCT, 8, 0, &[("", 3, 0), ("x", 1, 0)]);
        let bytes = types.bytes();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.member("s", "y"), None);
        assert_eq!(btf.member("s", "x.y"), None);
    }

    #[test]
    fn what_is_not_btf() {
        assert_eq!(Btf::parse(&[]).err(), Some(BtfError::Header));
        let mut bytes = sample();
        bytes[24 + 4 + 3] = 0x1f;
        assert_eq!(Btf::parse(&bytes).err(), Some(BtfError::Kind { id: 1, kind: 31 }));
        bytes[0] = 0;
        assert_eq!(Btf::parse(&bytes).err(), Some(BtfError::Header));
    }

    proptest! {
        #[test]
        fn never_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = sample();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(btf) = Btf::parse(&bytes) {
                btf.member("task", "se.sum");
                btf.member("task", "deep");
                btf.tracepoint("event");
                btf.size_of("entity");
            }
        }
    }
}

//! The page's files as one table: each as it is and compressed, with a tag of what is in it.

use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Kinds of files that a page is made of. Another one has to be thought about first: the policy may not allow it.
const TYPES: [(&str, &str); 4] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
];

/// Writes the table into `out` and gives its path.
pub(crate) fn bundle(folder: &Path, out: &Path) -> Result<PathBuf, String> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let packed = out.join("page");
    let failed = |what: &Path, error: io::Error| format!("cannot bundle the page: {}: {error}", what.display());
    fs::create_dir_all(&packed).map_err(|error| failed(&packed, error))?;
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut table = String::from("[\n");
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).ok_or("a file of the page has no name in UTF-8")?;
        let kind = TYPES.iter().find(|(ending, _)| file.extension().is_some_and(|is| is == *ending));
        let (_, content_type) =
            kind.ok_or_else(|| format!("{} is none of the page's kinds of files", file.display()))?;
        let plain = fs::read(&file).map_err(|error| failed(&file, error))?;
        let gzip = packed.join(format!("{name}.gz"));
        compress(&plain).and_then(|bytes| fs::write(&gzip, bytes)).map_err(|error| failed(&gzip, error))?;
        let path = if name == "index.html" { "/".to_owned() } else { format!("/assets/{name}") };
        let written = writeln!(
            table,
            "    Asset {{ path: {path:?}, content_type: {content_type:?}, etag: {:?}, plain: include_bytes!({:?}), gzip: include_bytes!({:?}) }},",
            etag(&plain),
            file.display().to_string(),
            gzip.display().to_string(),
        );
        written.map_err(|error| error.to_string())?;
    }
    table.push_str("]\n");
    let path = out.join("page.rs");
    fs::write(&path, table).map_err(|error| failed(&path, error))?;
    Ok(path)
}

fn compress(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Weak: the same is sent with and without compression.
fn etag(plain: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    plain.hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

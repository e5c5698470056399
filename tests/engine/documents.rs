//! Documents to try: wild ones, out of everything that has ever confused a parser, and well-formed
//! ones, for what only holds where the markup does not lie.

use proptest::{collection::vec, prelude::*, sample::select};

/// Addresses of vendors, plain and disguised, and of the page itself.
const ADDRESSES: [&str; 18] = [
    "https://acme.example/a.js",
    "//stat.example/p",
    "HTTPS://sub.ACME.example:443/x",
    "https&colon;&sol;&sol;acme&period;example/",
    "&#x68;ttps://acme.example/?a=1&amp=2",
    "\\\\acme.example/x",
    "ht\ntps://ac\tme.example",
    " //user@acme.example./ ",
    "https://acme.exampl%65/x",
    "/own.js",
    "x.png",
    "https://shop.example/?r=https://acme.example/",
    "data:image/gif;base64,AAAA",
    "https://notacme.example/",
    "//acme.example 2x, /own 1x",
    "/own 1x,//stat.example/b 2x",
    "0;url=//acme.example",
    "",
];

const TAGS: [&str; 30] = [
    "script", "img", "image", "iframe", "video", "source", "audio", "track", "embed", "object", "frame", "link", "a", "area",
    "meta", "body", "input", "feImage", "p", "div", "svg", "math", "style", "noscript", "template", "table", "select", "br",
    "SCRIPT", "Img",
];

const NAMES: [&str; 20] = [
    "src",
    "SRC",
    "srcset",
    "href",
    "xlink:href",
    "data",
    "poster",
    "ping",
    "background",
    "content",
    "rel",
    "type",
    "http-equiv",
    "srcdoc",
    "alt",
    "=x",
    "data-gate-0-src",
    "imagesrcset",
    "language",
    "class",
];

const VALUES: [&str; 14] = [
    "stylesheet",
    "preload",
    "icon",
    "refresh",
    "image",
    "module",
    "text/plain",
    "text/javascript",
    "a>b",
    "application/json",
    "<img src=//acme.example>",
    "&lt;img src=//acme.example>",
    "&",
    "x",
];

const CONFUSIONS: [&str; 73] = [
    "<!--",
    "-->",
    "--!>",
    "<!-->",
    "<!--->",
    "<!",
    "<?x",
    "</ x>",
    "</",
    "<",
    ">",
    "<a",
    "<img src=",
    "<![CDATA[",
    "]]>",
    "<svg>",
    "</svg>",
    "<svg/>",
    "<math>",
    "</math>",
    "<mi>",
    "</mi>",
    "<annotation-xml encoding=text/html>",
    "<foreignObject>",
    "</foreignObject>",
    "<desc>",
    "</desc>",
    "<title>",
    "</title>",
    "<script>",
    "</script>",
    "</script/x>",
    "</scriptx>",
    "<script/>",
    "<script type=application/json>",
    "<style>",
    "</style>",
    "<noscript>",
    "</noscript>",
    "<select>",
    "</select>",
    "<option>",
    "<textarea>",
    "</textarea>",
    "<xmp>",
    "</xmp>",
    "<iframe>",
    "</iframe>",
    "<noembed>",
    "</noembed>",
    "<table>",
    "<tr><td>",
    "</table>",
    "<template>",
    "</template>",
    "<p>",
    "</p>",
    "</br>",
    "<hr>",
    "<font color=x>",
    "<frameset>",
    "</frameset>",
    "<html>",
    "<head>",
    "</head>",
    "<body>",
    "</body>",
    "<form>",
    "acme('init', 1)",
    "var a = \"<p title='\";",
    "text &amp; more",
    "\u{0}\u{ff}",
    "'\"",
];

/// Anything after anything.
pub fn wild() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => select(&CONFUSIONS[..]).prop_map(str::to_owned),
        5 => element(),
        1 => Just("<script>acme('init')</script>".to_owned()),
        1 => Just("<noscript><img src=//acme.example></noscript>".to_owned()),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Balanced markup with tags of vendors at every place.
pub fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        4 => element().prop_filter("a leaf opens no text", |tag| !opens_text(tag)),
        1 => Just("<script>acme('init')</script>".to_owned()),
        1 => select(&ADDRESSES[..]).prop_map(|address| format!("<script src='{address}'></script>")),
        1 => select(&ADDRESSES[..]).prop_map(|address| format!("<iframe src=\"{address}\">x</iframe>")),
        1 => select(&ADDRESSES[..]).prop_map(|address| format!("<object data='{address}'>fallback</object>")),
        1 => Just("<style>p > a { color: red }</style>".to_owned()),
        1 => Just("<!-- <img src=//acme.example> -->".to_owned()),
        2 => Just("some text".to_owned()),
    ];
    let node = leaf.prop_recursive(4, 40, 5, |inner| {
        let wrap = select(&["div", "p", "span", "noscript", "template", "ul", "section", "table><tr><td"][..]);
        (wrap, vec(inner, 0..5)).prop_map(|(tag, children)| {
            let name = tag.split('>').next().unwrap_or(tag);
            // Pieces inside pieces are refused from the third on; one level is what pages have.
            let children = if name == "noscript" { children.concat().replace("noscript", "div") } else { children.concat() };
            format!("<{tag}>{children}</{name}>")
        })
    });
    vec(node, 0..8)
        .prop_map(|nodes| format!("<!doctype html><html><head></head><body>{}</body></html>", nodes.concat()).into_bytes())
}

fn opens_text(tag: &str) -> bool {
    const TEXT: [&str; 6] = ["<script", "<style", "<noscript", "<iframe", "<select", "<frame"];
    const NESTS: [&str; 6] = ["<svg", "<math", "<template", "<table", "<object", "<body"];
    let tag = tag.to_ascii_lowercase();
    TEXT.iter().chain(&NESTS).any(|name| tag.starts_with(name))
}

fn element() -> impl Strategy<Value = String> {
    (select(&TAGS[..]), vec(attribute(), 0..5), any::<bool>()).prop_map(|(tag, attributes, closed)| {
        let attributes: String = attributes.iter().map(|attribute| format!(" {attribute}")).collect();
        format!("<{tag}{attributes}{}>", if closed { " /" } else { "" })
    })
}

fn attribute() -> impl Strategy<Value = String> {
    let value = prop_oneof![3 => select(&ADDRESSES[..]), 1 => select(&VALUES[..])];
    (select(&NAMES[..]), value, 0..4u8).prop_map(|(name, value, quotes)| match quotes {
        0 if !value.contains(|c: char| c.is_ascii_whitespace() || c == '>') && !value.is_empty() => format!("{name}={value}"),
        1 => format!("{name}='{value}'"),
        2 => format!("{name} = \"{value}\""),
        _ => format!("{name}=\"{value}\""),
    })
}

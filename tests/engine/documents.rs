//! Documents to try: wild ones, out of everything that has ever confused a parser, and well-formed
//! ones, for what only holds where the markup does not lie.

use proptest::{collection::vec, prelude::*, sample::select};

/// Addresses of vendors, plain and disguised, and of the page itself.
const ADDRESSES: [&str; 22] = [
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
    "/a//%74race-tag.js",
    "//cdn.example/%70x//1.gif",
    "/c?tid=T%2d1&amp;v=2",
    "//www.trace.co.uk",
    "",
];

const TAGS: [&str; 35] = [
    "use", "td", "bgsound", "pattern", "image", "script", "img", "image", "iframe", "video", "source", "audio", "track", "embed",
    "object", "frame", "link", "a", "area", "meta", "body", "input", "feImage", "p", "div", "svg", "math", "style", "noscript",
    "template", "table", "select", "br", "SCRIPT", "Img",
];

/// Tags that stay what they are without their end tag.
const LEAVES: [&str; 15] =
    ["img", "image", "source", "track", "embed", "link", "a", "area", "meta", "input", "p", "br", "audio", "video", "Img"];

const NAMES: [&str; 23] = [
    "style",
    "fill",
    "style",
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

const VALUES: [&str; 20] = [
    "background:url(//acme.example/x)",
    "a:u\\72l(https://stat.example)",
    "b:image-set(&quot;//acme.example&quot; 1x),url(&#47;/stat.example)",
    "data:text/html,<img src=//acme.example>",
    "data:text/javascript,acme(%27init%27)",
    "data:text/javascript,import%20%27//acme.example/m.js%27",
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

const CONFUSIONS: [&str; 79] = [
    "<style>a{b:url(//acme.example/x)}",
    "url(//stat.example)",
    "@import '//acme.example';",
    "/*",
    "url(",
    "<script type=module>import '//acme.example/m.js'",
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
pub(crate) fn wild() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => select(&CONFUSIONS[..]).prop_map(str::to_owned),
        5 => element(&TAGS),
        1 => Just("<script>acme('init')</script>".to_owned()),
        1 => Just("<noscript><img src=//acme.example></noscript>".to_owned()),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Balanced markup with tags of vendors at every place.
pub(crate) fn well_formed() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => element(&LEAVES),
        1 => Just("<script>acme('init')</script>".to_owned()),
        1 => select(&ADDRESSES[..]).prop_map(|address| format!("<script src='{address}'></script>")),
        1 => select(&ADDRESSES[..]).prop_map(|address| format!("<iframe src=\"{address}\">x</iframe>")),
        1 => select(&ADDRESSES[..]).prop_map(|address| format!("<object data='{address}'>fallback</object>")),
        1 => Just("<style>p > a { color: red }</style>".to_owned()),
        1 => select(&ADDRESSES[..]).prop_map(|address| format!("<style>p {{ a: url(\"{address}\"), url({address}) }}</style>")),
        1 => Just("<svg fill='url(//acme.example#a)'><style>a{b:url(//stat.example)}</style></svg>".to_owned()),
        1 => Just("<script type=module>import '//stat.example/m.js'</script>".to_owned()),
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
    vec(node, 0..8).prop_map(|nodes| format!("<!doctype html><html><head></head><body>{}</body></html>", nodes.concat()))
}

fn element(tags: &'static [&'static str]) -> impl Strategy<Value = String> {
    (select(tags), vec(attribute(), 0..5), any::<bool>()).prop_map(|(tag, attributes, closed)| {
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

const CSS: [&str; 40] = [
    "url(",
    "URL( ",
    "u\\72 l(",
    ")",
    "\"",
    "'",
    "\\",
    "\\\n",
    "\n",
    " ",
    "/*",
    "*/",
    "@import ",
    "@import",
    "image-set(",
    "src(",
    "{",
    "}",
    ";",
    ":",
    ",",
    "a",
    "1",
    "-",
    "--x:",
    "#",
    "@",
    "<!--",
    "-->",
    "\u{e9}",
    "\\2f ",
    "data:",
    "//acme.example/x",
    "//acme.example/x",
    "https://stat.example/y",
    "https:\\2f/stat.example",
    "/own.png",
    "(",
    "e3",
    "\u{0}",
];

/// Pieces of CSS after pieces of CSS.
pub(crate) fn css() -> impl Strategy<Value = String> {
    vec(select(&CSS[..]), 0..30).prop_map(|pieces| pieces.concat())
}

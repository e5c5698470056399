#!/bin/sh
# Checks this copy of a consent log with openssl, awk, sed and coreutils. It needs no other program and writes
# nothing but temporary files.
#
#   sh verify.sh [--checkpoint FILE] [--key LINE] [--tsa-ca FILE] [--tsa-chain FILE]
#
#   --checkpoint FILE  a checkpoint kept elsewhere: the log must have grown from it
#   --key LINE         the log's public key as you know it from elsewhere: it must be among those in log.pub
#   --tsa-ca FILE      the certificates (PEM) of the time-stamping authorities that you trust
#   --tsa-chain FILE   certificates (PEM) between those and the one that signed, where the stamps carry none
#
# Ends with 0 where all is as it was written, with 1 where something is not, with 2 where it could not check.
# README.txt says what is checked and what that shows.
set -u
LC_ALL=C
export LC_ALL
umask 077

held='' known='' tsa='' chain=''
fail() {
	echo "verify.sh: $1" >&2
	exit 2
}
while [ $# -gt 0 ]; do
	[ $# -gt 1 ] || fail "usage: sh verify.sh [--checkpoint FILE] [--key LINE] [--tsa-ca FILE] [--tsa-chain FILE]"
	case $1 in
	--checkpoint) held=$2 ;;
	--key) known=$2 ;;
	--tsa-ca) tsa=$2 ;;
	--tsa-chain) chain=$2 ;;
	*) fail "$1 is unknown; usage: sh verify.sh [--checkpoint FILE] [--key LINE] [--tsa-ca FILE] [--tsa-chain FILE]" ;;
	esac
	shift 2
done
for file in "$held" "$tsa" "$chain"; do
	[ -z "$file" ] || [ -r "$file" ] || fail "$file cannot be read"
done

w=$(mktemp -d) || fail "no temporary folder can be made (TMPDIR)"
trap 'rm -rf "$w"' EXIT
trap 'exit 2' HUP INT TERM
mkdir "$w/f" "$w/r" "$w/p"
[ -z "$held" ] || cp "$held" "$w/held"
[ -z "$tsa" ] || cp "$tsa" "$w/tsa"
[ -z "$chain" ] || cp "$chain" "$w/chain"
cd "$(dirname "$0")" || fail "the folder of this script cannot be entered"
command -v openssl >/dev/null || fail "openssl is not installed"
command -v sha256sum >/dev/null || fail "sha256sum (coreutils) is not installed"
for file in scope log.pub leaves records.jsonl checkpoints; do
	[ -r "$file" ] || fail "$file is missing: this is no whole bundle"
done

# What is wrong: an index, a tab, what.
: >"$w/wrong"
wrong() { printf '%s\t%s\n' "$1" "$2" >>"$w/wrong"; }
say() { [ ! -t 2 ] || echo "$1" >&2; }

# Shared by the awk programs. Base64 is taken in its one canonical form only; hexadecimal becomes the octal
# escapes of printf, which is how bytes get into files without a process for each.
lib='
function tables(  i, b) {
	b = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for (i = 0; i < 64; i++) { SIX[substr(b, i + 1, 1)] = i; CHAR[i] = substr(b, i + 1, 1) }
	for (i = 0; i < 256; i++) { HEX[i] = sprintf("%02x", i); BYTE[HEX[i]] = i; OCT[HEX[i]] = sprintf("\\0%03o", i) }
}
function octal(hex,  out, i) {
	out = ""
	for (i = 1; i < length(hex); i += 2) out = out OCT[substr(hex, i, 2)]
	return out
}
function ishex(text, len) { return length(text) == len && text !~ /[^0-9a-f]/ }
function unbase(text,  out, i, n, a, b, c, d, pad) {
	if (text == "" || length(text) % 4 || text !~ /^[A-Za-z0-9+\/]+=?=?$/) return ""
	out = ""
	for (i = 1; i <= length(text); i += 4) {
		a = SIX[substr(text, i, 1)]; b = SIX[substr(text, i + 1, 1)]
		c = substr(text, i + 2, 1); d = substr(text, i + 3, 1)
		if (c == "=") { if (b % 16) return ""; return out HEX[a * 4 + int(b / 16)] }
		c = SIX[c]
		out = out HEX[a * 4 + int(b / 16)] HEX[b % 16 * 16 + int(c / 4)]
		if (d == "=") { if (c % 4) return ""; return out }
		out = out HEX[c % 4 * 64 + SIX[d]]
	}
	return out
}
function base(hex,  out, i, a, b, c) {
	out = ""
	for (i = 1; i < length(hex); i += 6) {
		a = BYTE[substr(hex, i, 2)]; b = BYTE[substr(hex, i + 2, 2)]; c = BYTE[substr(hex, i + 4, 2)]
		out = out CHAR[int(a / 4)] CHAR[a % 4 * 16 + int(b / 16)]
		out = out (i + 2 > length(hex) ? "=" : CHAR[b % 16 * 4 + int(c / 64)])
		out = out (i + 4 > length(hex) ? "=" : CHAR[c % 64])
	}
	return out
}
function wrong(where, what) { printf "%s\t%s\n", where, what >> (W "/wrong") }
BEGIN { tables() }
'

# hashes FILE: the SHA-256, in hexadecimal, of each line of hexadecimal digits.
hashes() {
	awk -v W="$w" "$lib"'
		{ file = W "/f/" n % 1000; printf "printf %%b \"%s\" >%s\n", octal($0), file; names = names " " file; n++ }
		n % 1000 == 0 { done() }
		END { if (names != "") done() }
		# Made anew each time: some file systems wait for the disk where a file is written over.
		function done() { print "sha256sum" names "; rm -f" names; names = "" }
	' "$1" | sh | cut -c 1-64
}

# --- the keys ---
# name+id+base64 a line. The id is the beginning of SHA-256(name, line feed, type 1, key).
awk -v W="$w" "$lib"'
	{
		n = split($0, part, "+")
		rest = $0; sub(/^[^+]*\+[^+]*\+/, "", rest)
		hex = unbase(rest)
		if (n < 3 || part[1] !~ /^[A-Za-z0-9._\/:-]+$/ || !ishex(part[2], 8) || length(hex) != 66 || substr(hex, 1, 2) != "01") {
			wrong(0, "line " NR " of log.pub is no key: name+id+base64"); next
		}
		print part[1], part[2], substr(hex, 3), base("302a300506032b6570032100" substr(hex, 3))
	}
' log.pub >"$w/keys"
while read -r name id hex der; do
	{
		printf '%s\n\001' "$name"
		printf '%b' "$(echo "$hex" | awk "$lib"'{ print octal($0) }')"
	} >"$w/m"
	[ "$(sha256sum <"$w/m" | cut -c 1-8)" = "$id" ] || wrong 0 "the key $id in log.pub has another id: name or key was changed"
	printf -- '-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n' "$der" >"$w/p/$id.pem"
	cmp -s "$w/p/$id.pem" "keys/$id.pem" || wrong 0 "keys/$id.pem is not the key $id of log.pub"
done <"$w/keys"
[ -s "$w/keys" ] || wrong 0 "log.pub has no key"
if [ -n "$known" ]; then
	grep -Fqx -- "$known" log.pub || wrong 0 "the key that you know is not among those in log.pub"
fi
for file in keys/*; do
	[ -e "$w/p/${file#keys/}" ] || wrong 0 "$file is no key of log.pub"
done

# --- the leaves: index, commitment, state ---
scope=$(cat scope)
[ "$(printf '%s\nx' "$scope")" = "$(cat scope; echo x)" ] || scope=
case $scope in
all | part) ;;
*) wrong 0 "the file scope says neither all nor part" ;;
esac
for file in leaves records.jsonl checkpoints log.pub; do
	[ -z "$(tail -c 1 "$file")" ] || wrong 0 "$file ends within a line"
done
awk -v W="$w" -v SCOPE="$scope" "$lib"'
	{
		if (NF != 3 || $0 != (NR - 1) " " $2 " " $3 || !ishex($2, 64) || $3 !~ /^(here|erased|restricted|left-out)$/) {
			wrong(NR - 1, "line " NR " of leaves is not: index, commitment, here or erased or restricted or left-out")
			print "00"; next
		}
		if ($3 == "left-out" && SCOPE == "all") wrong(NR - 1, "its record is left out of a bundle that says it has all")
		print "00636f6e73656e742f76310a" $2
	}
' leaves >"$w/entries"
leaves=$(wc -l <"$w/entries" | tr -d ' ')

# --- the records: each against its leaf ---
say "records"
# Members of a record are looked for as text: within a string a quote has a backslash before it, so a name in
# quotes is never found there.
awk -v W="$w" "$lib"'
	FILENAME == "leaves" { commitment[$1] = $2; state[$1] = $3; leaves = FNR; next }
	{
		line = $0; good = 1; number = line
		sub(/^\{"_idx":/, "", number); sub(/,.*/, "", number)
		if (number !~ /^(0|[1-9][0-9]*)$/ || length(number) > 15) { wrong(last + 0, "line " FNR " of records.jsonl has no index"); next }
		head = "{\"_idx\":" number ",\"_kind\":\""
		rest = substr(line, length(head) + 1)
		kind = rest; sub(/".*/, "", kind)
		leaf = substr(rest, length(kind) + 12, 64); salt = substr(rest, length(kind) + 87, 64)
		whole = head kind "\",\"_leaf\":\"" leaf "\",\"_salt\":\"" salt "\","
		if (index(line, whole) != 1 || !ishex(leaf, 64) || !ishex(salt, 64)) {
			wrong(number, "line " FNR " of records.jsonl does not begin with index, kind, leaf and salt"); next
		}
		number += 0
		if (FNR > 1 && number <= last) wrong(number, "its line in records.jsonl stands behind a later one, or twice")
		last = number
		if (number >= leaves) { wrong(number, "it is no leaf of this log"); next }
		if (state[number] != "here") wrong(number, "its record is here, and the leaf says " state[number])
		if (commitment[number] != leaf) wrong(number, "its record names another leaf")
		seen[number] = 1
		bytes = "{" substr(line, length(whole) + 1)
		version = kind == "decision" ? "consent-record/1" : kind == "notice" ? "consent-notice-leaf/1" : kind == "policy" ? "consent-policy-leaf/1" : kind == "act" ? "consent-act/1" : ""
		if (version == "" || !index(bytes, "\"v\":\"" version "\"")) wrong(number, "its kind is not that of its record")
		if (kind == "act") act(number, bytes)
		else if (kind == "decision") {
			notice = member(bytes, "notice", 64); policy = member(bytes, "policy", 64)
			if (!(notice in notices)) wrong(number, "the notice " notice " that it cites does not stand before it")
			if (!(policy in policies)) wrong(number, "the policy " policy " that it cites does not stand before it")
		} else if (kind == "notice") {
			address = member(bytes, "notice", 64); html = member(bytes, "html_sha256", 64)
			notices[address] = 1
			print number, address, html > (W "/notices")
			from = index(bytes, ",\"snapshot\":") + 12
			to = length(bytes) - length(",\"t\":\"2026-01-01T00:00:00.000Z\",\"v\":\"consent-notice-leaf/1\"}")
			file = W "/" address ".json"
			printf "%s", substr(bytes, from, to - from + 1) > file
			close(file)
		} else if (kind == "policy") {
			# The last one: the policy itself stands in quotes before it.
			revision = substr(bytes, length(bytes) - length("\",\"t\":\"2026-01-01T00:00:00.000Z\",\"v\":\"consent-policy-leaf/1\"}") - 63, 64)
			policies[revision] = 1
			print number, revision > (W "/policies")
		}
	}
	function member(bytes, name, len,  at) {
		at = index(bytes, "\"" name "\":\"")
		return at ? substr(bytes, at + length(name) + 4, len) : ""
	}
	# Indices are "3,7-9".
	function act(number, bytes,  what, list, n, i, ends, at, to) {
		what = bytes; sub(/^.*"act":"/, "", what); sub(/".*/, "", what)
		if (what !~ /^(erase|retain|restrict|unrestrict)$/) return
		list = bytes; sub(/^.*"indices":"/, "", list); sub(/".*/, "", list)
		n = split(list, range, ",")
		for (i = 1; i <= n; i++) {
			split(range[i], ends, "-")
			to = range[i] ~ /-/ ? ends[2] : ends[1]
			for (at = ends[1] + 0; at <= to + 0 && at < number; at++) {
				if (what == "restrict") restricted[at] = 1
				else if (what == "unrestrict") delete restricted[at]
				else named[at] = 1
			}
		}
	}
	END {
		for (i = 0; i < leaves; i++) {
			if (state[i] == "here" && !(i in seen)) wrong(i, "its record is missing")
			if (state[i] == "erased" && !(i in named)) wrong(i, "its record is missing and no act says that it was erased")
			if (state[i] == "restricted" && !(i in restricted)) wrong(i, "its record is kept back and no act says that it is restricted")
			if (state[i] != "erased" && (i in named)) wrong(i, "an act says that its record was erased, and the leaf says " state[i])
		}
	}
' leaves records.jsonl

# SHA-256(salt, record): the salt is put into a file, the record behind it, and many files are hashed at once.
: >"$w/computed"
[ ! -s records.jsonl ] || split -l 1000 -a 5 records.jsonl "$w/r/"
for part in "$w"/r/*; do
	[ -e "$part" ] || continue
	awk -v W="$w" "$lib"'
		{
			at = index($0, "\"_salt\":\"")
			salt = at ? substr($0, at + 9, 64) : ""
			number = $0; sub(/^\{"_idx":/, "", number); sub(/,.*/, "", number)
			if (ishex(salt, 64) && number ~ /^[0-9]+$/ && length(number) < 16)
				printf "printf %%b \"%s\" >%s/f/%s\n", octal(salt), W, sprintf("%015d", number)
		}
	' "$part" | { rm -f "$w"/f/*; sh; }
	awk -v W="$w" '
		{
			at = index($0, "\"_salt\":\"")
			number = $0; sub(/^\{"_idx":/, "", number); sub(/,.*/, "", number)
			if (!at || number !~ /^[0-9]+$/ || length(number) > 15) next
			file = W "/f/" sprintf("%015d", number)
			printf "{%s", substr($0, at + 75) >> file
			close(file)
		}
	' "$part"
	rm -f "$part"
	(cd "$w/f" && set -- * && [ -e "$1" ] && sha256sum "$@") >>"$w/computed"
done
rm -f "$w"/f/*
awk -v W="$w" "$lib"'
	FILENAME == "leaves" { commitment[$1] = $2; next }
	{ number = $2 + 0; if ($1 != commitment[number]) wrong(number, "its record is not the one that was written (the commitment does not match)") }
' leaves "$w/computed"

# --- notices and policies: what their address says ---
[ -e "$w/notices" ] || : >"$w/notices"
[ -e "$w/policies" ] || : >"$w/policies"
digest() { [ -r "$1" ] && sha256sum <"$1" | cut -c 1-64; }
while read -r number address html; do
	json=$(digest "notices/$address.json")
	[ "$(digest "notices/$address.html")" = "$html" ] || wrong "$number" "notices/$address.html is not the notice that was shown"
	[ "$json" = "$(digest "$w/$address.json")" ] || wrong "$number" "notices/$address.json is not the notice in the log"
	[ "$address" = "$html" ] || [ "$address" = "$json" ] || wrong "$number" "the notice $address is not addressed by what it is"
done <"$w/notices"
while read -r number revision; do
	[ "$(digest "policies/$revision.json")" = "$revision" ] || wrong "$number" "policies/$revision.json is not the policy that was in force"
done <"$w/policies"
for file in notices/* policies/*; do
	name=${file#*/}
	case $file in
	*/'*') ;;
	notices/*.json | notices/*.html) cut -d ' ' -f 2 "$w/notices" | grep -Fqx -- "${name%.*}" || wrong 0 "$file: no leaf stands for it" ;;
	policies/*.json) cut -d ' ' -f 2 "$w/policies" | grep -Fqx -- "${name%.*}" || wrong 0 "$file: no leaf stands for it" ;;
	*) wrong 0 "$file: no leaf stands for it" ;;
	esac
done

# --- the tree (RFC 6962), level by level ---
say "tree of $leaves leaves"
hashes "$w/entries" >"$w/level"
awk '{ print 0, NR - 1, $1 }' "$w/level" >"$w/nodes"
level=0
while [ "$(wc -l <"$w/level")" -gt 1 ]; do
	awk 'NR % 2 { left = $1; next } { print "01" left $1 }' "$w/level" >"$w/pairs"
	hashes "$w/pairs" >"$w/level"
	level=$((level + 1))
	awk -v L="$level" '{ print L, NR - 1, $1 }' "$w/level" >>"$w/nodes"
done

# --- the checkpoints: text, blank line, signatures ---
# Written as: size, root, signature, key id, which.
checkpoints() {
	awk -v W="$w" -v WHICH="$2" -v LEAVES="$leaves" "$lib"'
		BEGIN { dash = "\342\200\224 "; while ((getline key < (W "/keys")) > 0) { split(key, part, " "); names[part[2]] = part[1] } }
		function name(size) { return WHICH == "kept" ? "the checkpoint of " size " leaves" : "the given checkpoint" }
		{
			if (at == 0) { origin = $0; at = 1; next }
			if (at == 1) { size = $0; at = 2; next }
			if (at == 2) { root = $0; at = 3; next }
			if (at == 3) { if ($0 != "") bad("has no blank line before its signature"); at = 4; next }
			text = substr($0, length(dash origin " ") + 1)
			signature = unbase(text)
			id = substr(signature, 1, 8)
			where = size ~ /^[1-9][0-9]*$/ && length(size) < 16 && size + 0 > 0 ? size - 1 : last + 0
			root = unbase(root)
			if (index($0, dash origin " ") != 1 || length(signature) != 136 || size !~ /^[1-9][0-9]*$/ || length(size) > 15 || length(root) != 64) bad("cannot be read")
			else if (names[id] != origin) bad("is not signed with a key of log.pub")
			else if (WHICH == "kept" && size + 0 <= last) bad("stands behind a later one, or twice")
			else {
				last = size + 0
				if (last > LEAVES) wrong(LEAVES, name(last) " is over more leaves than are here: the end was cut off")
				print last, root, substr(signature, 9), id, WHICH
			}
			at = 0
		}
		function bad(what) { wrong(where + 0, (WHICH == "kept" ? "the checkpoint in lines " (NR - NR % 5 - (NR % 5 ? 0 : 5) + 1) " ff. of checkpoints" : "the given checkpoint") " " what) }
		END {
			if (at) wrong(last + 0, (WHICH == "kept" ? "checkpoints ends within a checkpoint" : "the given checkpoint ends within"))
			if (WHICH == "kept" && last < LEAVES) wrong(last + 0, "there is no checkpoint over this leaf and those behind it")
		}
	' "$1"
}
checkpoints checkpoints kept >"$w/checkpoints"
count=$(wc -l <"$w/checkpoints" | tr -d ' ')
if [ -n "$held" ]; then
	checkpoints "$w/held" given >"$w/given"
	[ -s "$w/given" ] || wrong 0 "the given checkpoint is not one of a key in log.pub"
	cat "$w/given" >>"$w/checkpoints"
fi

# Each must be the root of the beginning of its size: whole subtrees, the smallest first, folded to the left.
say "$count checkpoints"
awk -v LEAVES="$leaves" '
	FILENAME ~ /nodes$/ { node[$1, $2] = $3; next }
	$1 <= LEAVES && !($1 in done) {
		done[$1] = 1
		line = $1; size = $1; level = 0
		while (size > 0) {
			if (size % 2) line = line " " node[level, size - 1]
			size = int(size / 2); level++
		}
		print line
	}
' "$w/nodes" "$w/checkpoints" >"$w/folds"
: >"$w/roots"
while [ -s "$w/folds" ]; do
	awk 'NF == 2' "$w/folds" >>"$w/roots"
	awk 'NF > 2 { print "01" $3 $2 }' "$w/folds" >"$w/pairs"
	hashes "$w/pairs" >"$w/folded"
	awk '
		FILENAME ~ /folded$/ { folded[FNR] = $1; next }
		NF > 2 { line = $1 " " folded[++n]; for (i = 4; i <= NF; i++) line = line " " $i; print line }
	' "$w/folded" "$w/folds" >"$w/next"
	mv "$w/next" "$w/folds"
done
awk -v W="$w" -v LEAVES="$leaves" "$lib"'
	FILENAME ~ /roots$/ { root[$1] = $2; next }
	$1 <= LEAVES && root[$1] != $2 {
		wrong($1 - 1, ($5 == "kept" ? "the checkpoint of " $1 " leaves" : "the given checkpoint of " $1 " leaves") " has another root: something before it was changed")
	}
' "$w/roots" "$w/checkpoints"

# The signatures: Ed25519 over the text of the note. One openssl each, which is most of the time that all this takes.
say "$count signatures"
awk -v W="$w" "$lib"'
	BEGIN { while ((getline key < (W "/keys")) > 0) { split(key, part, " "); names[part[2]] = part[1] } }
	{
		printf "printf \"%%s\\n\" \"%s\" %d \"%s\" >%s/f/m%d; printf %%b \"%s\" >%s/f/s%d; ", names[$4], $1, base($2), W, NR, octal($3), W, NR
		printf "openssl pkeyutl -verify -pubin -inkey %s/p/%s.pem -rawin -in %s/f/m%d -sigfile %s/f/s%d >/dev/null 2>&1 || echo %d %s\n", W, $4, W, NR, W, NR, $1, $5
		used = used " " W "/f/m" NR " " W "/f/s" NR
		if (NR % 500 == 0) { print "rm -f" used; used = "" }
	}
' "$w/checkpoints" | sh >"$w/unsigned"
while read -r size which; do
	wrong $((size - 1)) "the signature of the $which checkpoint of $size leaves is not its key's"
done <"$w/unsigned"

# --- time stamps (RFC 3161): each over the note of one checkpoint ---
stamps=0 newest=none
for file in timestamps/*.tsr; do
	[ -e "$file" ] || continue
	stamps=$((stamps + 1))
	size=${file#timestamps/}
	size=${size%.tsr}
	case $size in
	'' | 0* | *[!0-9]*)
		wrong 0 "$file is of no checkpoint"
		continue
		;;
	esac
	awk -v S="$size" 'NR % 5 == 1 { note = ""; s = "" } { note = note $0 "\n" } NR % 5 == 2 { s = $0 } NR % 5 == 0 && s == S { printf "%s", note }' checkpoints >"$w/note"
	[ -s "$w/note" ] || {
		wrong $((size - 1)) "$file is of a checkpoint that is not here"
		continue
	}
	openssl ts -reply -in "$file" -text >"$w/stamp" 2>/dev/null || {
		wrong $((size - 1)) "$file is no time stamp"
		continue
	}
	imprint=$(sed -n '/^Message data:/,/^Serial number:/s/^ *[0-9a-f]* - \(\([0-9a-f][0-9a-f][ -]\)*\).*/\1/p' "$w/stamp" | tr -d ' \n-')
	[ "$imprint" = "$(digest "$w/note")" ] || wrong $((size - 1)) "$file is not over the checkpoint of $size leaves"
	if [ -n "$tsa" ]; then
		openssl ts -verify -data "$w/note" -in "$file" -CAfile "$w/tsa" ${chain:+-untrusted "$w/chain"} >/dev/null 2>&1 ||
			wrong $((size - 1)) "$file is not signed by the authority that you trust"
	fi
	newest=$(sed -n 's/^Time stamp: //p' "$w/stamp")
done

# --- the answer ---
echo "leaves       $leaves"
echo "records      $(wc -l <records.jsonl | tr -d ' ') of them here"
echo "checkpoints  $count"
if [ "$stamps" -gt 0 ]; then
	if [ -n "$tsa" ]; then how='signed by the authority that you trust'; else how='whose signatures were not checked (--tsa-ca)'; fi
	echo "time stamps  $stamps, $how; the last one read: $newest"
fi
awk -v L="$leaves" '$1 == L { print "root         " $2 }' "$w/roots"
sed 's/^/key          /' log.pub
if [ -s "$w/wrong" ]; then
	echo
	echo "NOT as it was written. The first bad index is $(sort -n "$w/wrong" | head -n 1 | cut -f 1)."
	sort -n "$w/wrong" | uniq | head -n 50
	exit 1
fi
echo
if [ -n "$held" ]; then
	echo "Everything here is as it was written, and the log has grown from the given checkpoint."
else
	echo "Everything here is as it was written. Compare the key with the one that you know from elsewhere."
fi

#!/bin/sh
# Which folder may include which, and which library header is confined to which files: the table
# of layers as code. Includes are written from the root; nothing points up.
. "$(dirname "$0")/lint.sh"

# Rules, first match wins: kind, pattern of what is included, pattern of who may. A quoted include
# is `ours`, an angled one `library`.
cat >"$scratch/rules" <<'RULES'
ours    ^base/log\.h$                ^(base/log\.c|node/|sdk-c/cli/|tests/|actor/egress/main\.c|actor/launcher/)
ours    ^actor/egress/               ^(actor/egress|tests)/
ours    ^actor/launcher/             ^(actor/launcher|tests)/
ours    ^actor/sandbox/              ^(actor/sandbox|tests)/
ours    ^base/                       ^(base|storage|rpc|actor|node|tests)/|^sdk-c/[^/]*$
ours    ^storage/                    ^(storage|actor|node|tests)/
ours    ^rpc/                        ^(rpc|actor|node|tests)/|^sdk-c/[^/]*$
ours    ^actor/isolate/              ^actor/isolate/|^tests/
ours    ^actor/                      ^(actor|node|tests)/
ours    ^node/                       ^(node|tests)/
ours    ^sdk-c/cli/                  ^(sdk-c/cli|tests)/
ours    ^sdk-c/dormouse\.h$          ^(sdk-c|tests|examples)/
ours    ^sdk-c/[^/]*$                ^sdk-c/[^/]*$|^tests/
ours    ^tests/                      ^tests/
library ^dormouse\.h$                ^(sdk-c|tests|examples)/
library ^config\.h$                  .
ours    ^config\.h$                  .
library ^raft(\.h|/)                 ^storage/group[^/]*$|^tests/
library ^lmdb\.h$                    ^storage/(store[^/]*|checkpoint\.[ch]|snapshot\.[ch])$|^tests/
library ^zstd\.h$                    ^storage/blob[^/]*$|^tests/
library ^uv\.h$                      ^(storage|rpc|actor)/[^/]*_uv\.[ch]$|^node/|^tests/
library ^nghttp2/                    ^rpc/http2[^/]*$|^sdk-c/[^/]*$|^tests/
library ^http_parser\.h$             ^rpc/(http1|url)[^/]*$|^sdk-c/[^/]*$|^tests/
library ^wslay/                      ^rpc/websocket_frame\.c$
library ^openssl/(evp|sha)\.h$       ^rpc/(tls[^/]*|websocket_key\.c)$|^actor/isolate/host_crypto[^/]*$|^tests/
library ^openssl/                    ^rpc/tls[^/]*$|^actor/isolate/host_crypto[^/]*$|^tests/
library ^msgpack(\.h|/)              ^rpc/(msgpack|value)[^/]*$|^tests/
library ^json-c/                    ^sdk-c/cli/(bundler|project|publish|source_map)[^/]*$
library ^yajl/                       ^rpc/(json[^/]*|problem)\.[ch]$|^tests/
library ^curl/                       ^rpc/(client|webhook)[^/]*$|^actor/egress/|^tests/
library ^zlib\.h$                    ^actor/egress/inflater\.c$|^tests/
library ^seccomp\.h$                 ^actor/(egress/lockdown|isolate/filter|launcher/filter_make)\.c$
library ^glib(\.h|/)                 ^actor/zone\.c$
library ^ck_                         ^node/|^tests/
library ^systemd/                    ^node/notify\.c$
library ^bsd/sys/tree\.h$            ^(storage|actor)/
library ^xxhash\.h$                  ^base/
library ^isa-l                       ^base/
library ^sodium                      ^base/|^rpc/json[^/]*\.c$|^tests/
library ^argp\.h$                    ^sdk-c/cli/|^node/|^actor/isolate/program\.c$|^tests/
library ^(JavaScriptCore|jsc)/       ^actor/isolate/engine[^/]*$
library ^unicode/                    ^actor/isolate/text\.c$
library ^cmocka\.h$                  ^tests/
library ^(pthread|semaphore)\.h$     ^(base|storage|node|sdk-c|tests)/|_uv\.[ch]$
library ^(sys|linux|netinet|arpa|net|asm|bits)/  .
library ^(assert|ctype|dirent|dlfcn|endian|err|errno|fcntl|float|fnmatch|getopt|glob|inttypes|langinfo|libgen|limits|locale|malloc|math|mntent|netdb|poll|pwd|grp|regex|sched|setjmp|signal|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|syscall|sysexits|termios|threads|time|unistd|utime|wchar|wctype|syslog|ucontext|execinfo|link|features|stdio_ext|iconv|spawn|alloca|ftw|search|paths|byteswap|values)\.h$  .
RULES

# shellcheck disable=SC2046
grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' $(sources c h def) /dev/null |
    sed -E 's/^([^:]+):([0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*([<"])([^>"]+)[>"].*/\1 \2 \3 \4/' \
        >"$scratch/includes"

awk -v out="$scratch" '
    FILENAME ~ /rules$/ { kind[++rules] = $1; what[rules] = $2; who[rules] = $3; next }
    {
        file = $1; line = $2; ours = $3 == "\""; header = $4
        if (ours && header !~ /\// && header != "config.h") {
            print file ":" line ": \"" header "\" names no folder" > (out "/rootless")
            next
        }
        for (i = 1; i <= rules; i++) {
            if (kind[i] != (ours ? "ours" : "library") || header !~ what[i]) continue
            if (file !~ who[i])
                print file ":" line ": may not include " header > (out "/" kind[i])
            next
        }
        print file ":" line ": " header " stands in no rule of check_layers.sh" > (out "/unknown")
    }' "$scratch/rules" "$scratch/includes"

# A source includes its own header first, so that each header is known to stand alone.
for source in $(sources c); do
    header=${source%.c}.h
    [ -f "$header" ] || continue
    first=$(sed -nE 's/^#[[:space:]]*include[[:space:]]*[<"]([^>"]+)[>"].*/\1/p' "$source" | head -n 1)
    [ "$first" = "$header" ] || [ "$first" = config.h ] ||
        echo "$source: includes $first before $header"
done >"$scratch/own"

for list in rootless ours library unknown; do
    [ -f "$scratch/$list" ] || : >"$scratch/$list"
done
report 'quoted includes are written from the root' "$scratch/rootless"
report 'includes point down the layers, never up' "$scratch/ours"
report 'library headers stay in the files that own them' "$scratch/library"
report 'every header included is known to the table' "$scratch/unknown"
report 'each source includes its own header first' "$scratch/own"
lint_end

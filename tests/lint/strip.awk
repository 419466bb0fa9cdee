# Prints C sources as "file:line:code" with comments removed and the insides of string and character
# literals blanked, so that rules about code do not trip over prose.
FNR == 1 { in_comment = 0 }
{
    line = $0
    out = ""
    n = length(line)
    for (i = 1; i <= n; i++) {
        two = substr(line, i, 2)
        c = substr(line, i, 1)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; i++ }
        } else if (two == "/*") {
            in_comment = 1
            i++
        } else if (two == "//") {
            break
        } else if ((c == "\"" || c == "'") && line !~ /^[ \t]*#[ \t]*include/) {
            quote = c
            out = out c
            for (i++; i <= n; i++) {
                c = substr(line, i, 1)
                if (c == "\\") { i++; continue }
                if (c == quote) { out = out c; break }
            }
        } else {
            out = out c
        }
    }
    print FILENAME ":" FNR ":" out
}

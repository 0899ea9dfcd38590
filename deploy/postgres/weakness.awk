# Prints why the secret in standard input can be guessed, or nothing: `weakness` of stack_settings/secret.py, where it is
# explained.
# Needs LC_ALL=C, so that a character is a byte.

function fill(    i, c, key) {
    for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i
    for (i = 1; i <= size; i++) {
        c = substr(text, i, 1)
        key = index("1234567890 qwertyuiop asdfghjkl; zxcvbnm,./", c)
        views[1, i] = code[c]
        views[3, i] = key ? key - 1 : 1000 + code[c]
    }
    for (i = size; i > 1; i--) {
        views[2, i] = views[1, i] - views[1, i - 1]
        views[3, i] -= views[3, i - 1]
    }
}

function repeated(at,    view, start, same, longest) {
    for (view = 1; view <= 3; view++)
        for (start = view == 1 ? 1 : 2; start < at; start++) {
            for (same = 0; at + same <= size && views[view, start + same] == views[view, at + same]; same++);
            if (same > longest) longest = same
        }
    return longest >= 3 ? longest : 1
}

{ text = text (NR > 1 ? "\n" : "") $0 }

END {
    size = length(text)
    text = tolower(text)
    fill()
    for (at = 1; at <= size && count < 24; count++) at += repeated(at)
    if (!size) print "is not set"
    else if (size < 16) print "is shorter than 16 characters"
    else if (4 * count < 3 * (size < 32 ? size : 32)) print "repeats itself, or follows the alphabet or the keyboard"
}

#include "actor/isolate/embedded.h"

/* The assembler takes the file as it is: a C array of it would be six times as long to compile. The make
 * rule names the files. */
#define EMBED(name, path)                                                      \
    __asm__(".pushsection .rodata\n"                                           \
            ".global " #name "_start\n" #name "_start: .incbin \"" path "\"\n" \
            ".global " #name "_end\n" #name "_end: .byte 0\n"                  \
            ".popsection\n");                                                  \
    extern const uint8_t name##_start[];                                       \
    extern const uint8_t name##_end[];

EMBED(prelude_script, "prelude.js")
EMBED(random_script, "random.js")

struct slice embedded_prelude(void)
{
    return slice_of(prelude_script_start, (size_t)(prelude_script_end - prelude_script_start));
}

struct slice embedded_random(void)
{
    return slice_of(random_script_start, (size_t)(random_script_end - random_script_start));
}

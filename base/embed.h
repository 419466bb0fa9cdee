/* Files in a program: the assembler takes each as it is, for a C array of it would be six times as long to compile.
 * The make rule of the including file names them, and the folders they are looked for in. */
#ifndef BASE_EMBED_H
#define BASE_EMBED_H

#include <stdint.h>

#include "base/slice.h"

#define EMBED(name, path)                                                      \
    __asm__(".pushsection .rodata\n"                                           \
            ".global " #name "_start\n" #name "_start: .incbin \"" path "\"\n" \
            ".global " #name "_end\n" #name "_end: .byte 0\n"                  \
            ".popsection\n");                                                  \
    extern const uint8_t name##_start[];                                       \
    extern const uint8_t name##_end[];

#define EMBEDDED(name) slice_of(name##_start, (size_t)(name##_end - name##_start))

#endif

/* The scripts that run code in contexts, as they are passed to their programs. */
#include "actor/sandbox_own.h"

/* The assembler takes the file as it is; the make rule names the files. */
#define EMBED(name, path)                                                      \
    __asm__(".pushsection .rodata\n"                                           \
            ".global " #name "_start\n" #name "_start: .incbin \"" path "\"\n" \
            ".global " #name "_end\n" #name "_end: .byte 0\n"                  \
            ".popsection\n");                                                  \
    extern const uint8_t name##_start[];                                       \
    extern const uint8_t name##_end[];

EMBED(sandbox_driver_python, "driver.py")
EMBED(sandbox_driver_javascript, "driver.js")

struct slice driver_of(bool is_python)
{
    return is_python ? slice_of(sandbox_driver_python_start,
                                (size_t)(sandbox_driver_python_end - sandbox_driver_python_start))
                     : slice_of(sandbox_driver_javascript_start,
                                (size_t)(sandbox_driver_javascript_end -
                                         sandbox_driver_javascript_start));
}

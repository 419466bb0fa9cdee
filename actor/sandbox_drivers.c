/* The scripts that run code in contexts, as they are passed to their programs. */
#include "actor/sandbox_own.h"
#include "base/embed.h"

EMBED(sandbox_driver_python, "driver.py")
EMBED(sandbox_driver_javascript, "driver.js")

struct slice driver_of(bool is_python)
{
    return is_python ? EMBEDDED(sandbox_driver_python) : EMBEDDED(sandbox_driver_javascript);
}

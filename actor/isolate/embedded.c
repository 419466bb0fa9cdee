#include "actor/isolate/embedded.h"

#include "base/embed.h"

EMBED(prelude_script, "prelude.js")
EMBED(random_script, "random.js")

struct slice embedded_prelude(void)
{
    return EMBEDDED(prelude_script);
}

struct slice embedded_random(void)
{
    return EMBEDDED(random_script);
}

/* dormouse-isolate: the zygote of a worker, and all that it forks. */
#include <stddef.h>

#include "actor/isolate/program.h"

int main(int argc, char **argv)
{
    return program_run(argc, argv, NULL);
}

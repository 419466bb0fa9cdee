/* Prints due times for tests/integration/test_cron_croniter.py: lines of
 * "ZONE|AFTER_S|COUNT|CRON" in, lines of up to COUNT due times in seconds out. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/cron.h"
#include "actor/zone.h"

static int answer(char *line)
{
    char *rest = NULL;
    const char *zone_name = strtok_r(line, "|", &rest);
    const char *after = strtok_r(NULL, "|", &rest);
    const char *count = strtok_r(NULL, "|", &rest);
    const char *text = strtok_r(NULL, "|\n", &rest);
    if (zone_name == NULL || after == NULL || count == NULL || text == NULL) {
        return 2;
    }
    struct cron cron;
    const char *detail = "";
    struct zone *zone = NULL;
    if (cron_parse(slice_of_str(text), &cron, &detail) != ERR_OK) {
        printf("error %s\n", detail);
        return 0;
    }
    if (zone_new(slice_of_str(zone_name), &zone) != ERR_OK) {
        printf("error zone\n");
        return 0;
    }
    uint64_t at_ms = strtoull(after, NULL, 10) * 1000;
    for (unsigned long n = strtoul(count, NULL, 10); n > 0; n--) {
        if (!cron_next(&cron, zone, at_ms, &at_ms)) {
            break;
        }
        printf("%" PRIu64 " ", at_ms / 1000);
    }
    printf("\n");
    zone_free(zone);
    return 0;
}

int main(void)
{
    char line[1024];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        int status = answer(line);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

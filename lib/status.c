/* SPDX-License-Identifier: MIT
 *
 * The names and words of enum status, from its list.
 */
#include "lib/status.h"

struct status_words {
    const char *name;
    const char *text;
};

static const struct status_words words[] = {
#define X(name, text) {#name, text},
    STATUS_LIST(X)
#undef X
};

const char *status_text(enum status s)
{
    return (size_t)s < ARRAY_SIZE(words) ? words[s].text : "unknown status";
}

const char *status_name(enum status s)
{
    return (size_t)s < ARRAY_SIZE(words) ? words[s].name : "UNKNOWN";
}

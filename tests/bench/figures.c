/* SPDX-License-Identifier: Apache-2.0 */
#include "figures.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"

void must(struct error *err)
{
        if (err == NULL)
                return;
        error_print(err);
        exit(EXIT_FAILURE);
}

double seconds_since(struct instant start)
{
        return (double)instant_since(clock_now(clock_system()), start).ns / 1e9;
}

void sample_add(struct sample *s, double value)
{
        if (s->count == s->room) {
                s->room = s->room == 0 ? 256 : s->room * 2;
                s->values = mem_resize(s->values, s->room, sizeof *s->values);
        }
        s->values[s->count++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

double sample_quantile(struct sample *s, double part)
{
        if (s->count == 0)
                bug("nothing was measured");
        qsort(s->values, s->count, sizeof *s->values, compare_doubles);
        return s->values[(size_t)((double)(s->count - 1) * part)];
}

void sample_release(struct sample *s)
{
        free(s->values);
        *s = (struct sample){ 0 };
}

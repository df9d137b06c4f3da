/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shares.h"

/* The map stores counts as pointers: a count of zero has no entry. */

size_t shares_count(const struct shares *s, struct str holder)
{
        return (size_t)(uintptr_t)map_get(&s->counts, holder);
}

bool shares_have_room(const struct shares *s, struct str holder)
{
        size_t count = shares_count(s, holder);

        if (s->total >= s->limits.total || count >= s->limits.each)
                return false;
        return s->total + s->limits.reserve < s->limits.total || count < s->limits.reserved;
}

void shares_add(struct shares *s, struct str holder)
{
        map_put(&s->counts, holder, (void *)(uintptr_t)(shares_count(s, holder) + 1));
        s->total++;
}

void shares_remove(struct shares *s, struct str holder)
{
        size_t count = shares_count(s, holder);

        if (count == 0)
                return;
        s->total--;
        if (count == 1)
                map_remove(&s->counts, holder);
        else
                map_put(&s->counts, holder, (void *)(uintptr_t)(count - 1));
}

void shares_release(struct shares *s)
{
        map_release(&s->counts);
        s->total = 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/launch.h"

void launch_release(struct launch *l)
{
        secret_release(&l->token);
        arena_free(l->arena);
        *l = (struct launch){ 0 };
}

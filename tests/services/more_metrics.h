/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that a later program appends to the table of metrics: more than the page in which the table of this one ends has room for. */
#define METRIC_TABLE_APPENDED(METRIC)                                                                                                              \
        METRIC(LATER, GAUGE, NUMBER, EVERY, "cteleport_later", "a=1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20 "                             \
               "b=1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|22|23|24|25|26|27|28|29|30", "Of a test.")

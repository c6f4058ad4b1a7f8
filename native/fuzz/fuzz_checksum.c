/* ts_sum and ts_update_checksum against the definition. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    uint32_t start = get16(data), want = start, value = get16(data + 2);
    uint8_t *copy = malloc(size);
    memcpy(copy, data, size);
    for (size_t i = 0; i < size; i++) {
        want += i & 1 ? copy[i] : (uint32_t)copy[i] << 8;
        want = (want & 0xffff) + (want >> 16);
    }
    uint32_t sum = ts_sum(copy, size, start);
    REQUIRE(sum == want);
    uint32_t old = get16(copy);
    put16(copy, value);
    uint32_t fresh = ~ts_sum(copy, size, start) & 0xffff, updated = ts_update_checksum(~sum, old, value);
    REQUIRE(fresh == updated || fresh + updated == 0xffff); /* one's complement has two zeros */
    free(copy);
    return 0;
}

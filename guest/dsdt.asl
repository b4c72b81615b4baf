/* SPDX-License-Identifier: MIT
 *
 * The board in ACPI's own words: what guest/address.h says (tests/unit/test_guest_acpi.c compares
 * them).  All is in scopes, so that acpi.c can walk over them and leave out processors from the end.
 */
DefinitionBlock ("", "DSDT", 2, "VITRIN", "VITRINE ", 1)
{
    Scope (\)
    {
        Name (_S5, Package () {5, 0, 0, 0}) /* VPM_SLP_TYP_S5 */
    }
    Scope (\_SB)
    {
        Device (PCI0) /* the bridge to bus 0; nothing on it has interrupts, so there is no _PRT */
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
                IO (Decode16, 0xcf8, 0xcf8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                        0, 0xd00, 0xffff, 0, 0xf300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                             ReadWrite, 0, 0xc0000000, 0xfebfffff, 0, 0x3ec00000)
            })
        }
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x3f8, 0x3f8, 1, 8)
                IRQNoFlags () {4}
            })
        }
        Device (RTC)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x70, 0x70, 1, 2)
                IRQNoFlags () {8}
            })
        }
        Device (DISK) /* virtio; without a disk it says that it is to be ignored */
        {
            Name (_HID, "LNRO0005")
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xfec10000, 0x1000)
                Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) {20}
            })
        }
    }
    Scope (\_SB) {Device (CPU0) {Name (_HID, "ACPI0007") Name (_UID, 0)}}
    Scope (\_SB) {Device (CPU1) {Name (_HID, "ACPI0007") Name (_UID, 1)}}
    Scope (\_SB) {Device (CPU2) {Name (_HID, "ACPI0007") Name (_UID, 2)}}
    Scope (\_SB) {Device (CPU3) {Name (_HID, "ACPI0007") Name (_UID, 3)}}
    Scope (\_SB) {Device (CPU4) {Name (_HID, "ACPI0007") Name (_UID, 4)}}
    Scope (\_SB) {Device (CPU5) {Name (_HID, "ACPI0007") Name (_UID, 5)}}
    Scope (\_SB) {Device (CPU6) {Name (_HID, "ACPI0007") Name (_UID, 6)}}
    Scope (\_SB) {Device (CPU7) {Name (_HID, "ACPI0007") Name (_UID, 7)}}
}
